"""What commands print: tables and lines that fit the terminal."""
