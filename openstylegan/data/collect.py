"""Takes prepared pictures in order: writes those that belong together with their labels, notes why others do not."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from openstylegan.data.content_hash import add_file, combined
from openstylegan.data.labels import LABEL_FILE, Label, parse_csv
from openstylegan.data.report import Report
from openstylegan.data.shapes import shape_in_words
from openstylegan.data.transform import Outcome
from openstylegan.data.writer import Write, picture_name
from openstylegan.errors import InputError

LABELS_FROM_SOURCE, LABELS_FROM_FOLDERS, NO_LABELS = "source", "folders", "none"
LabelOf = Callable[[Outcome], Label | str | None]


class Labelling(NamedTuple):
    """How a picture's label is found (a class name is still text), and why one without is skipped ("": it is not).

    names: the pictures that a CSV file names.
    """

    label_of: LabelOf
    without_label: str = ""
    names: Collection[str] = ()


def choose_labels(choice: str) -> Labelling:
    """The labelling that was asked for. Raises `InputError`."""
    if choice == LABELS_FROM_SOURCE:
        return Labelling(lambda outcome: outcome.label)
    if choice == NO_LABELS:
        return Labelling(lambda outcome: None)
    if choice == LABELS_FROM_FOLDERS:
        return Labelling(
            lambda outcome: outcome.name.split("/", 1)[0] if "/" in outcome.name else None, "it lies in no folder"
        )
    try:
        table = parse_csv(Path(choice).expanduser().read_text(encoding="utf-8-sig"), choice)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"expected --labels source, folders, none or a CSV file, got {choice!r} ({error})") from error
    return Labelling(lambda outcome: table.get(outcome.name), f"it has no label in {choice}", table.keys())


class Collector:
    """Takes the outcomes in order, writes those that fit and notes the others."""

    def __init__(self, write: Write, report: Report, labelling: Labelling, classes: list[str], num_sizes: int = 1):
        self.write, self.report = write, report
        self.label_of, self.without_label = labelling.label_of, labelling.without_label
        self.unmet = dict.fromkeys(labelling.names)
        self.source_classes = classes
        self.digests = [hashlib.sha256() for _ in range(num_sizes)]
        self.labels: list[tuple[str, Label | str | None]] = []
        self.first_name = ""
        self.num_unlike = 0

    def take(self, outcome: Outcome) -> bool:
        """One picture: written, or skipped with a reason. Returns whether it was written."""
        label = self.label_of(outcome)
        self.unmet.pop(outcome.name, None)
        if outcome.reason:
            self.report.skip(outcome.name, outcome.reason)
        elif label is None and self.without_label:
            self.report.skip(outcome.name, self.without_label)
        elif self.report.shape not in (None, outcome.shape):
            self.num_unlike += 1
            expected = shape_in_words(self.report.shape or outcome.shape)
            self.report.skip(outcome.name, f"{shape_in_words(outcome.shape)}, not {expected} like {self.first_name}")
        else:
            self._keep(outcome, label)
            return True
        return False

    def _keep(self, outcome: Outcome, label: Label | str | None) -> None:
        self.report.shape, self.first_name = outcome.shape, self.first_name or outcome.name
        self._put(picture_name(outcome.index), outcome.pngs)
        self.labels.append((picture_name(outcome.index), label))
        for note in outcome.notes:
            self.report.convert(outcome.name, note)

    def _put(self, name: str, files: Sequence[bytes]) -> None:
        self.write(name, files)
        for digest, data in zip(self.digests, files, strict=True):
            add_file(digest, name, data)

    def finish(self) -> None:
        """Writes the label file and fills the report. Raises `InputError` when too little was usable."""
        report = self.report
        if not self.labels:
            why = f"; the first: {report.skipped[0]['file']}: {report.skipped[0]['reason']}" if report.skipped else ""
            raise InputError(f"expected pictures in {report.source}, none of {len(report.skipped)} could be used{why}")
        if self.num_unlike > len(self.labels):
            raise InputError(
                f"expected pictures of one shape in {report.source}, but {self.num_unlike} of "
                f"{self.num_unlike + len(self.labels)} differ from the first ({self.first_name}, "
                f"{shape_in_words(report.shape or (0, 0, 0))}); give --width and --height, --transform or --mode"
            )
        report.pictures = len(self.labels)
        if self.unmet and report.options["max_images"] is None:
            report.warnings.append(
                f"{len(self.unmet)} names in {report.options['labels']} are no pictures of {report.source}; the first: "
                f"{next(iter(self.unmet))}"
            )
        self._put(LABEL_FILE, [self.label_file()] * len(self.digests))
        report.hashes = [digest.hexdigest() for digest in self.digests]
        report.content_hash = combined(report.hashes)

    def label_file(self) -> bytes:
        """`dataset.json`: a list when every picture has a label, null when not; class names where they are known."""
        missing = sum(label is None for _, label in self.labels)
        if missing:
            if missing < len(self.labels):
                self.report.warnings.append(
                    f"{missing} of {len(self.labels)} pictures have no label in the source, so dataset.json holds none"
                )
            return json.dumps({"labels": None}).encode()
        named = sorted({label for _, label in self.labels if isinstance(label, str)})
        order = {name: i for i, name in enumerate(named)}
        labels = [[name, order[label] if isinstance(label, str) else label] for name, label in self.labels]
        self.report.label_kind = "vectors" if isinstance(labels[0][1], list) else "classes"
        self.report.classes = named or (
            self.source_classes if self.report.options["labels"] == LABELS_FROM_SOURCE else []
        )
        content: dict[str, Any] = {"labels": labels}
        if self.report.classes:
            content["classes"] = self.report.classes
        return json.dumps(content).encode()
