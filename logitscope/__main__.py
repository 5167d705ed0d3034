"""The command ``logitscope``; see :mod:`analysis.command_line`."""

from analysis.command_line.main import start

if __name__ == "__main__":
    start()
