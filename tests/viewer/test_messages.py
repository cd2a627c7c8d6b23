"""The messages of page and server: what is read, what is refused, and that each is answered."""

from __future__ import annotations

import asyncio
import gc
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openstylegan.errors import InputError
from openstylegan.viewer import messages as m
from openstylegan.viewer.pictures import Picture, read_picture, write_picture
from openstylegan.viewer.state import Offset, View

QUESTIONS = get_args(m.FromPage)
FIELDS = sorted({name for kind in QUESTIONS for name in kind.__struct_fields__} | {"type", "nonsense"})
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(View.__struct_fields__), inner, max_size=3)
    ),
    max_leaves=6,
)
TAGS = st.sampled_from([kind.__struct_config__.tag for kind in QUESTIONS])
ASKED = st.builds(
    lambda tag, rest: rest | {"type": tag}, TAGS, st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=4)
)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(ASKED | VALUES)
def test_anything_is_read_or_refused_in_one_line(value: Any) -> None:
    text, refused = json.dumps(value), ""
    try:
        assert isinstance(m.read(text), QUESTIONS)
    except InputError as error:
        refused = str(error)
    assert "\n" not in refused and len(refused) < 400
    number = m.id_of(text)
    assert number is None or 0 <= number < 2**53


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.binary(max_size=40))
def test_bytes_are_refused_too(data: bytes) -> None:
    for text in (data, data.decode("latin-1")):
        with pytest.raises(InputError):
            m.read(text)
    m.id_of(data)
    if len(data) < 4 or int.from_bytes(data[:4], "little") > 36:
        with pytest.raises(InputError):
            read_picture(data)


def test_every_question_has_an_answerer_and_a_name() -> None:
    pytest.importorskip("starlette")
    from openstylegan.viewer.requests import Requests
    from openstylegan.viewer.stream import ViewStream

    connection: Any = None
    assert set(Requests(connection).handlers(ViewStream(connection))) == set(QUESTIONS)
    tags = {kind.__struct_config__.tag for kind in (*QUESTIONS, *get_args(m.FromServer))}
    assert m.__doc__ is not None and all(str(tag) in m.__doc__ for tag in tags)


def test_questions_and_answers_survive_the_way() -> None:
    view = View(model="a", x=-3.5, offsets=(Offset("sefa", 3, 2.0, (1,)),), mix_layers=(0, 5))
    for asked in (m.Draw(id=3, view=view, width=9), m.Capture(id=2**53 - 1, kind="video", views=(view, view))):
        assert m.read(msgspec.json.encode(asked)) == asked
    told = m.Error(id=None, message="\N{GREEK SMALL LETTER PSI}")
    assert json.loads(m.write(told)) == {"type": "error", "id": None, "message": "\N{GREEK SMALL LETTER PSI}"}
    header = Picture(5, "view", "png", "image/png", 2, 3, ms={"encode": 1.5}, notes=("a",))
    assert read_picture(write_picture(header, b"\x00data")) == (header, b"\x00data")


def test_a_view_has_its_documented_fields_and_defaults() -> None:
    assert View.__doc__ is not None
    undocumented = [name for name in View.__struct_fields__ if f"`{name}`" not in View.__doc__]
    assert undocumented == []
    assert msgspec.json.decode("{}", type=View) == View()


@pytest.mark.filterwarnings("error")
def test_a_work_that_is_ended_before_it_begins_is_never_made() -> None:
    pytest.importorskip("starlette")
    from openstylegan.viewer.connection import Connection

    made: list[int] = []

    async def work() -> None:
        made.append(1)

    async def ended_at_once() -> None:
        connection = Connection(socket=None, hub=None)  # type: ignore[arg-type]
        connection.start("watch", connection.answering(1, work))
        connection.stop_task("watch")
        await asyncio.sleep(0)

    with ThreadPoolExecutor(1) as thread:  # a browser's tests may have left a loop in this one
        thread.submit(lambda: asyncio.run(ended_at_once())).result()
    gc.collect()
    assert not made
