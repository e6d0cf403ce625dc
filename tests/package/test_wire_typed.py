"""Types are learned by one thread at a time, whoever asks first."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# Types of its own in each round, because what is known once is safe; six threads that all want it first.
PROGRAM = """
import sys, threading, types
from collections.abc import Callable
import msgspec
from wire import typed

SOURCE = '''
from __future__ import annotations
import msgspec
class Inner(msgspec.Struct, frozen=True, kw_only=True):
    a: int
    b: str = "x"
class Outer(msgspec.Struct, frozen=True, kw_only=True):
    one: Inner
    more: tuple[Inner, ...] = ()
    note: str | None = None
    count: int | None = None
'''
VALUE = {"one": {"a": 1, "b": "y"}, "more": [{"a": 2}], "note": "n", "count": 3}
READ = {
    "msgpack": (typed.msgpack, msgspec.msgpack.encode(VALUE)),
    "json": (typed.json, msgspec.json.encode(VALUE)),
    "toml": (typed.toml, 'note = "n"\\ncount = 3\\nmore = [{a = 2}]\\n[one]\\na = 1\\nb = "y"\\n'),
    "plain": (typed.plain, VALUE),
}
sys.setswitchinterval(1e-6)
for number in range(150):
    module = types.ModuleType(f"round{number}")
    sys.modules[module.__name__] = module
    exec(SOURCE, module.__dict__)
    together, wrong = threading.Barrier(6), []

    def ask(way: str) -> None:
        read, data = READ[way]
        together.wait()
        try:
            value = read(data, module.Outer)
            assert value.one.b == "y" and value.more[0].a == 2 and value.count == 3
        except BaseException as error:
            wrong.append(repr(error))

    threads = [threading.Thread(target=ask, args=(way,)) for way in sys.argv[1].split(",")]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    if wrong: sys.exit(wrong[0])
"""


@pytest.mark.parametrize(
    "ways",
    ["msgpack," * 5 + "msgpack", "json," * 5 + "json", "msgpack,json,msgpack,json,toml,plain"],
    ids=["msgpack", "json", "all"],
)
def test_six_threads_may_be_the_first_to_read_a_type(ways: str) -> None:
    ended = subprocess.run([sys.executable, "-c", PROGRAM, ways], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stderr[-500:] or f"ended by signal {-ended.returncode}"
