"""How a command ends: every error becomes one message on stderr and an exit code, in this one place."""

import os
import sys
import traceback
from enum import IntEnum
from typing import Any

import typer
from typer.core import TyperGroup

from tilth.cli.words import clean
from tilth.errors import Parked, TilthError, UsageError

__all__ = ["Code", "Guarded", "complain", "trace"]

_TRACE = "tilth.traceback"


class Code(IntEnum):
    """What the exit code of a command says.

    >>> int(Code.WAITING)
    3
    """

    OK = 0
    FAILED = 1
    USAGE = 2
    WAITING = 3
    STOPPED = 130


class Guarded(TyperGroup):
    """The group of commands; what a command raises is told here and nowhere else."""

    def invoke(self, ctx: Any) -> Any:
        """Run the chosen command; leave with its exit code where it fails."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as stop:
            sys.stderr.write(f"{clean(str(stop)) or 'stopped by Ctrl-C'}\n")
            ctx.exit(Code.STOPPED)
        except Parked as parked:
            sys.stderr.write(f"{clean(str(parked))}\n")
            ctx.exit(Code.WAITING if parked.state == "waiting" else Code.FAILED)
        except UsageError as error:
            ctx.exit(_broken(ctx, error, Code.USAGE))
        except TilthError as error:
            ctx.exit(_broken(ctx, error, Code.FAILED))
        except BrokenPipeError:
            raise  # `tilth log | head` closes our output: the command line library ends quietly
        except Exception as error:
            told: Any = error
            if hasattr(told, "format_message"):  # the command line library's own: wrong or missing arguments
                where = told.ctx.command_path if told.ctx is not None else "tilth"
                complain(f"{told.format_message().removesuffix('.')} (see {where} --help)")
                ctx.exit(told.exit_code)
            if hasattr(told, "exit_code"):
                raise  # a command that is over
            # what nobody foresaw is told in one line as well
            ctx.exit(_broken(ctx, error, Code.FAILED))


def trace(ctx: typer.Context, value: bool) -> bool:
    """Note that tracebacks are wanted (--traceback, or TILTH_TRACEBACK=1)."""
    ctx.meta[_TRACE] = value
    return value


def _broken(ctx: Any, error: BaseException, code: Code) -> Code:
    """Tell an error on stderr, with the place in the code where that was asked for, and return the exit code."""
    message = str(error) if isinstance(error, TilthError) else f"{type(error).__name__}: {error}"
    if ctx.meta.get(_TRACE):
        sys.stderr.write("".join(traceback.format_exception(error)))
    else:
        # a training process sends its own trace along with the message
        message, _, there = message.partition("\nTraceback (most recent call last):")
        if there or not isinstance(error, TilthError):
            message += "\nThe same command with --traceback shows where in the code."
    complain(message)
    return code


def complain(message: str) -> None:
    """Write `error: message` to stderr, red on a terminal unless NO_COLOR is set."""
    coloured = sys.stderr.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    head = "\x1b[1;31merror:\x1b[0m" if coloured else "error:"
    sys.stderr.write(f"{head} {clean(message, lines=True)}\n")
