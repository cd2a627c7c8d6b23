"""The command `openstylegan`. Sub-commands are imported when they are called: `--help` is fast and needs no torch."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from cyclopts import App
from cyclopts.exceptions import CycloptsError, UnknownCommandError, UnknownOptionError, UnusedCliTokensError

from openstylegan import __version__
from openstylegan.errors import InputError, ProcessFailed

EXIT_INPUT, EXIT_INTERRUPTED, EXIT_FAILED = 2, 130, 1

COMMANDS = {
    "train": ("openstylegan.cli.train:train", "Train a network, or go on with a run (--resume RUN)."),
    "demo": ("openstylegan.cli.demo:demo", "Train on the embedded pictures for a few minutes and show the result."),
    "generate": ("openstylegan.cli.generate:generate", "Make pictures from seeds."),
    "style-mixing": ("openstylegan.cli.style_mixing:style_mixing", "Mix the styles of seeds, in a table."),
    "samples": ("openstylegan.cli.samples:samples", "Draw grids for lists of psi and mixing, with the mean style."),
    "project": ("openstylegan.cli.project:project", "Find the w whose picture is nearest to a given one."),
    "video": ("openstylegan.cli.video:video", "Film the way from seed to seed, or a random walk, as a loop."),
    "view": ("openstylegan.cli.view:view", "Look at networks in the browser."),
    "metrics": ("openstylegan.cli.metrics:metrics", "Measure a network: FID, KID, precision and recall, ..."),
    "stability": ("openstylegan.cli.stability:stability", "Draw how much pictures still change while training."),
    "spectra": ("openstylegan.cli.spectra:spectra", "Average power spectra of pictures, and drawings of them."),
    "dataset": ("openstylegan.cli.dataset:dataset", "Make a dataset from pictures, or verify one."),
    "cluster": ("openstylegan.cli.cluster:cluster", "Sort pictures into classes by what they look like."),
    "convert": ("openstylegan.cli.convert:convert", "Write networks in another layout."),
    "inspect": ("openstylegan.cli.inspect:inspect", "Say what is inside a file of networks."),
    "export": ("openstylegan.cli.export:export", "Write a generator as ONNX or as a PyTorch exported program."),
    "dirac": ("openstylegan.cli.dirac:dirac", "The smallest GAN, with and without the Brownian Motion Controller."),
    "plan": ("openstylegan.cli.plan:plan", "Predict parameters, memory and time of a training run."),
    "doctor": ("openstylegan.cli.doctor:doctor", "Say what this machine can do, and test it."),
}

VALUED_FLAGS = ("--cond", "--mirror", "--fp32", "--nhwc", "--allow-tf32", "--nobench", "--verbose", "--save-video")
"""Flags that users of the original programs type with a value: `--mirror 1`, `--cond=true`."""


def make_app() -> App:
    """The command line, with its sub-commands named but not imported."""
    app = App(
        name="openstylegan",
        help="Train, measure and use the style-based GAN family.",
        version=__version__,
        help_format="plaintext",
        suppress_keyboard_interrupt=False,
    )
    for name, (place, text) in COMMANDS.items():
        app.command(place, name=name, help=text)
    return app


def with_flag_values(arguments: Sequence[str]) -> list[str]:
    """`--mirror 1` as `--mirror=true`, `--cond=0` as `--cond=false`, for the flags that took a value elsewhere."""
    words = {"1": "true", "true": "true", "yes": "true", "0": "false", "false": "false", "no": "false"}
    found: list[str] = []
    queue = list(arguments)
    while queue:
        word = queue.pop(0)
        name, _, value = word.partition("=")
        if name not in VALUED_FLAGS:
            found.append(word)
        elif value.lower() in words:
            found.append(f"{name}={words[value.lower()]}")
        elif not value and queue and queue[0].lower() in words:
            found.append(f"{name}={words[queue.pop(0).lower()]}")
        else:
            found.append(word)
    return found


def fail(text: str, code: int) -> int:
    """Prints one line to the error output and returns `code`."""
    print(f"openstylegan: {' '.join(text.split())}", file=sys.stderr)
    return code


def usage_error(error: CycloptsError) -> str:
    """A wrong command line in one line, with the nearest name where there is one."""
    if isinstance(error, UnusedCliTokensError):
        return f"expected options only, got {' '.join(error.unused_tokens or ())} (see --help)"
    if isinstance(error, UnknownOptionError | UnknownCommandError):
        error.verbose = False
    return f"{str(error).strip()} (see --help)"


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit code.

    0 done; 1 a check failed or a process died; 2 an input that cannot be used; 75 stopped by SIGTERM with a checkpoint;
    130 stopped by Ctrl-C.
    """
    given = with_flag_values(sys.argv[1:] if arguments is None else arguments)
    try:
        result = make_app()(given, exit_on_error=False, print_error=False, result_action="return_value")
        return result if isinstance(result, int) else 0
    except CycloptsError as error:
        return fail(usage_error(error), EXIT_INPUT)
    except InputError as error:
        return fail(str(error), EXIT_INPUT)
    except ProcessFailed as error:
        return fail(str(error), EXIT_FAILED)
    except KeyboardInterrupt:
        return fail("interrupted", EXIT_INTERRUPTED)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILED
    except OSError as error:
        if error.filename is None or error.strerror is None:
            raise
        return fail(f"cannot use {error.filename}: {error.strerror}; check the path and its permissions", EXIT_INPUT)
    except Exception as error:
        code = getattr(error, "exit_code", None)
        if code is None:
            raise
        return fail(str(error), code)


if __name__ == "__main__":
    sys.exit(main())
