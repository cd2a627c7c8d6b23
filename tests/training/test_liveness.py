"""The watch over a run's processes, with threads in place of processes: who is missing, who failed, who differs."""

from __future__ import annotations

import json
import os
import select
import socket
import threading
from datetime import timedelta

import pytest
import torch.distributed as dist

from openstylegan.errors import InputError, ProcessFailed
from openstylegan.training import liveness
from openstylegan.training.liveness import Watch, await_all, choose_interface, greeted, interface_of, own_address
from openstylegan.training.signals import Stopped


@pytest.fixture
def store(monkeypatch):
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    monkeypatch.setenv("MASTER_PORT", "29500")
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    monkeypatch.setattr(liveness, "CONNECT_SECONDS", 5.0)
    monkeypatch.setattr(liveness, "BEAT_SECONDS", 0.1)
    return dist.HashStore()


@pytest.fixture
def exits(monkeypatch):
    """What would have ended the process."""
    found = []
    monkeypatch.setattr(liveness.os, "_exit", found.append)
    return found


def both(store, *blocks):
    """Each block under a watch of its own; what came of each."""
    found = [None] * len(blocks)

    def run(rank):
        try:
            with Watch(store, rank, len(blocks)) as watch:
                blocks[rank](watch)
        except BaseException as error:
            found[rank] = error

    threads = [threading.Thread(target=run, args=(n,)) for n in range(len(blocks))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert not any(thread.is_alive() for thread in threads)
    return found


def in_a_collective(watch):
    """What a process meets that waits for one that is gone."""
    assert watch._decided.wait(10)
    raise RuntimeError("Connection closed by peer")


def test_all_end_well(store, exits):
    assert both(store, lambda watch: None, lambda watch: None, lambda watch: None) == [None] * 3
    assert exits == []


def raising(error):
    def block(watch):
        raise error

    return block


def test_a_failure_is_told_to_all(store, exits):
    found = both(store, in_a_collective, raising(InputError("expected pictures, got none")), in_a_collective)
    told = r"process 1 \(on .*, 127.0.0.1\) failed: expected pictures, got none; .*--resume RUN"
    for error in (found[0], found[2]):
        with pytest.raises(ProcessFailed, match=told):
            raise error
    assert isinstance(found[1], InputError)
    assert exits == []


def test_a_failure_of_process_0(store, exits):
    found = both(store, raising(ValueError("no\nspace")), in_a_collective)
    assert isinstance(found[1], ProcessFailed) and "process 0 (at 127.0.0.1) failed: no space" in str(found[1])


def test_a_stop_that_all_agreed_on_is_no_failure(store, exits):
    found = both(store, raising(Stopped(15)), raising(Stopped(15)))
    assert [type(error) for error in found] == [Stopped, Stopped]
    assert exits == []


def test_an_own_runtime_error_stays_what_it_is(store, exits, monkeypatch):
    """Nobody else has died, so it is this process's own failure, and the others are told."""
    monkeypatch.setenv("OPENSTYLEGAN_SILENCE_SECONDS", "0.5")
    found = both(store, in_a_collective, raising(RuntimeError("a bug")))
    assert str(found[1]) == "a bug"
    assert isinstance(found[0], ProcessFailed) and "failed: a bug" in str(found[0])


def test_a_process_that_hangs_in_a_collective_is_ended(store, exits, monkeypatch, capsys):
    monkeypatch.setattr(liveness, "GRACE_SECONDS", 0.2)
    hanging = threading.Event()
    monkeypatch.setattr(liveness.os, "_exit", lambda code: (exits.append(code), hanging.set()))
    both(store, lambda watch: hanging.wait(10), lambda watch: watch._peers[0].connection.shutdown(socket.SHUT_RDWR))
    assert exits == [1]
    assert "process 1 (on " in (said := capsys.readouterr().err) and "has died" in said


def test_silence(store, exits, monkeypatch):
    monkeypatch.setenv("OPENSTYLEGAN_SILENCE_SECONDS", "0.6")
    real = liveness.Peer.send
    monkeypatch.setattr(liveness.Peer, "send", lambda peer, **said: None if peer.rank == 0 else real(peer, **said))
    found = both(store, in_a_collective, in_a_collective)
    assert "process 1 (on " in str(found[0]) and "has been silent for 0.6 s" in str(found[0])
    assert "has been silent for 0.6 s" in str(found[1]), "process 0 passes it on"


def test_strangers_are_hung_up_on():
    for said in (b"GET / HTTP/1.0\n", b'{"token": "wrong", "rank": 1, "host": "x"}\n', b"[]\n", b""):
        ours, theirs = socket.socketpair()
        theirs.sendall(said)
        theirs.shutdown(socket.SHUT_WR)
        assert greeted(ours, "secret") is None
        assert ours.fileno() == -1, "closed"


def test_what_follows_the_greeting_at_once_is_heard():
    """A process may fail before the other one has read its greeting."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        theirs = socket.create_connection(server.getsockname())
        said = [{"token": "secret", "rank": 1, "host": "far"}, {"failed": "no space"}]
        theirs.sendall(b"".join(json.dumps(line).encode() + b"\n" for line in said))
        theirs.close()
        peer = greeted(server.accept()[0], "secret")
        assert peer is not None
        assert select.select([peer.connection], [], [], 5)[0]
        assert peer.receive() == [{"failed": "no space"}]
        peer.connection.close()


def test_those_that_do_not_connect_are_named(store, monkeypatch):
    monkeypatch.setattr(liveness, "CONNECT_SECONDS", 0.2)
    with pytest.raises(ProcessFailed, match="expected process 1, 2 and 127.0.0.1 to reach each other"):
        Watch(store, 0, 3).__enter__()
    store.set("liveness", json.dumps(["127.0.0.1", 1, "x"]))
    with pytest.raises(ProcessFailed, match=r"expected process 0 and 127.0.0.1 to reach each other.*refused"):
        Watch(store, 1, 3).__enter__()


def test_those_that_do_not_come_are_named():
    store = dist.HashStore()
    store.set_timeout(timedelta(seconds=1))
    store.set("2", b"here")
    with pytest.raises(ProcessFailed, match=r"expected 4 processes within 0 s, but 1, 3 did not come"):
        await_all(store, 0, 4, 0.2)
    for rank in (1, 3):
        store.set(str(rank), b"here")
    await_all(store, 0, 4, 1.0)


def test_the_interface_is_that_towards_the_master(store, monkeypatch):
    assert own_address("127.0.0.1", 80) == "127.0.0.1"
    loopback = interface_of("127.0.0.1")
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", loopback)
    assert own_address("192.0.2.1", 80) == "127.0.0.1", "the user's choice counts"
    monkeypatch.delenv("GLOO_SOCKET_IFNAME")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "1")
    choose_interface()
    assert "GLOO_SOCKET_IFNAME" not in os.environ, "two machines do not see each other on loopback"
    monkeypatch.setattr(liveness, "own_address", lambda master, port: "192.0.2.7")
    monkeypatch.setattr(liveness, "interface_of", lambda address: "eth7")
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "")
    choose_interface()
    assert os.environ["GLOO_SOCKET_IFNAME"] == "eth7"
