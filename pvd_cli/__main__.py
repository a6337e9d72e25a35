"""`python -m pvd_cli` is `pvd`."""

from pvd_cli.main import main

if __name__ == "__main__":
    main()
