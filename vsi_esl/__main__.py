"""`vsi-esl` and `python -m vsi_esl`."""

from .cli import main

if __name__ == "__main__":
    main()
