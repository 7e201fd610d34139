"""`python -m thresher.cli`, for launchers such as torchrun that start a module."""

from thresher.cli import main

if __name__ == "__main__":
    main()
