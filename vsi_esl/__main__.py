"""`vsi-esl` and `python -m vsi_esl`."""

from gevent import monkey

monkey.patch_all()  # before anything else is imported, so that every library waits the gevent way

from .cli import main

if __name__ == "__main__":
    main()
