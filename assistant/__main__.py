"""`python -m assistant` is the console script `assistant`."""

from .cli import main

main()
