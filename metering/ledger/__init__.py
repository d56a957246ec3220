"""The store: its tables, its migrations, what is written and what is asked."""
