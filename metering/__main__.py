"""The meter without the transcriber: `python -m metering`."""

from metering.cli import main

if __name__ == "__main__":
    main()
