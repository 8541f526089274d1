"""Measurements from elsewhere: a folder, a broker, a server, each by the one way that all of them go."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from learnopt.errors import DataError
from learnopt.service.adapters import Adapter, Batch, SourceLostError, deliver
from learnopt.service.adapters.folder import DropFolder
from learnopt.service.adapters.messages import batch_of
from learnopt.service.adapters.mqtt import Mqtt
from learnopt.service.adapters.opcua import OpcUa, Tag, measured, tags_of
from learnopt.service.client import AnswerError, Client
from learnopt.service.schema import TakenView

NOON = "2026-01-15T12:00:00+00:00"


class Service(Client):
    """Keeps what it is sent; answers as it is told, and then that all was taken."""

    def __init__(self, *answers: TakenView | AnswerError) -> None:
        super().__init__("http://nowhere", "token")
        self.sent: list[tuple[str, list[Any]]] = []
        self.answers = list(answers)

    def send(self, feeder: str, measurements: Sequence[Any]) -> TakenView:
        """As it was told."""
        answer = self.answers.pop(0) if self.answers else TakenView(taken=len(measurements), old=0, refused=[])
        if isinstance(answer, AnswerError):
            raise answer
        self.sent.append((feeder, list(measurements)))
        return answer


class Given:
    """A source that gives some batches, and is lost at some."""

    def __init__(self, *some: Batch | SourceLostError) -> None:
        self.some = list(some)

    async def batches(self) -> AsyncIterator[Batch]:
        """In their order."""
        while self.some:
            one = self.some.pop(0)
            if isinstance(one, SourceLostError):
                raise one
            yield one


def point(k: int) -> dict[str, Any]:
    return {"point": f"bus:{k}:p_kw", "value": float(k), "time": NOON}


def delivered(adapter: Adapter, service: Service) -> Any:
    return asyncio.run(asyncio.wait_for(deliver(adapter, service, pause_s=0.01), 30))


def test_what_is_sent_is_sent_once_and_in_its_order() -> None:
    """The service is away and comes back, the source is lost and comes back: nothing is lost, nothing twice."""
    some = [Batch("one", [point(k)]) for k in range(50)]
    source = Given(*some[:20], SourceLostError("gone"), SourceLostError("gone"), *some[20:], Batch("two", [point(99)]))
    service = Service(AnswerError("no answer"), AnswerError("busy", 503), AnswerError("too many", 429))
    counted = delivered(source, service)
    assert [one["value"] for _, found in service.sent for one in found] == [*range(50), 99.0]
    assert service.sent[-1] == ("two", [point(99)])
    assert len(service.sent) < 50  # what waits goes together
    assert (counted.taken, counted.lost) == (51, 2)
    told: list[Any] = []
    service = Service(AnswerError("there is no feeder 'one'", 404), TakenView(taken=1, old=1, refused=["wrong"]))
    counted = delivered(
        Given(Batch("one", [point(1)], told.append), Batch("two", [point(2)] * 3, told.append)), service
    )
    assert told == ["there is no feeder 'one'", TakenView(taken=1, old=1, refused=["wrong"])]
    assert (counted.taken, counted.old, counted.refused) == (1, 1, 2)
    with pytest.raises(AnswerError, match="log in"):
        delivered(Given(Batch("one", [point(1)])), Service(AnswerError("log in", 401)))
    many = Batch("one", [point(k) for k in range(12_001)])
    assert delivered(Given(many), service).taken == 12_001
    assert max(len(found) for _, found in service.sent) == 5000


def test_a_folder(tmp_path: Path) -> None:
    """CSV and Parquet, whole ones only; what became of a file stands where it lies, and nothing is overwritten."""
    (tmp_path / "a.csv").write_text(f"point,value,time,quality\nbus:7:p_kw,200,{NOON},good\nbus:8:p_kw,x,{NOON},\n")
    table = {"feeder": ["two", "one"], "point": ["bus:1:v_pu", "bus:2:v_pu"], "value": [1.0, None]}
    times = pa.array([datetime(2026, 1, 15, 12, tzinfo=UTC)] * 2, pa.timestamp("us", tz="UTC"))
    pq.write_table(pa.table(table | {"time": times}), tmp_path / "b.parquet")
    (tmp_path / "c.csv").write_text("point,value\nbus:7:p_kw,200\n")
    (tmp_path / "d.csv").write_text("point,value,time\nbus:7:p_kw,200\n")
    (tmp_path / "e.parquet").write_bytes(b"PAR1 no, it is not PAR1")
    (tmp_path / "f.csv").write_bytes(b"point,value,time\n\xff\xfe,1,2\n")
    (tmp_path / ".g.csv").write_text("still being written")
    (tmp_path / "h.csv").write_text(f"point,value,time\nbus:7:p_kw,200,{NOON}\n")
    (tmp_path / "done").mkdir()
    (tmp_path / "done" / "a.csv").write_text("of yesterday")
    answers = [TakenView(taken=1, old=0, refused=["bus:8:p_kw: value = 'x'"])]
    service = Service(*answers, AnswerError("there is no feeder 'two'", 404), TakenView(taken=0, old=1, refused=[]))
    delivered(DropFolder(tmp_path, "one", once=True), service)
    assert service.sent[0] == ("one", [
        {"point": "bus:7:p_kw", "value": 200.0, "time": NOON, "quality": "good"},
        {"point": "bus:8:p_kw", "value": "x", "time": NOON},
    ])  # fmt: skip
    assert service.sent[1] == ("one", [{"point": "bus:2:v_pu", "value": None, "time": NOON}])
    assert (tmp_path / "done" / "a.csv").read_text() == "of yesterday"
    done = sorted(path.suffixes[-1] for path in (tmp_path / "done").iterdir())
    assert done == [".csv", ".csv", ".csv", ".parquet", ".txt", ".txt"]
    assert "no feeder 'two'" in (tmp_path / "done" / "b.parquet.txt").read_text()
    wrong = {path.name: path.read_text() for path in (tmp_path / "wrong").glob("*.txt")}
    assert set(wrong) == {"c.csv.txt", "d.csv.txt", "e.parquet.txt", "f.csv.txt"}
    assert "'time' is missing" in wrong["c.csv.txt"]
    assert "line 2" in wrong["d.csv.txt"]
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == [".g.csv"]
    with pytest.raises(DataError, match="no folder"):
        DropFolder(tmp_path / "nowhere")


def test_a_file_that_still_grows_is_left_alone(tmp_path: Path) -> None:
    """It is read when it has not changed from one look to the next."""
    folder = DropFolder(tmp_path, "one", every_s=0.01)
    path = tmp_path / "a.csv"
    path.write_text("point,value,time\n")
    assert folder._whole() == []
    path.write_text(f"point,value,time\nbus:7:p_kw,200,{NOON}\n")
    assert folder._whole() == []
    assert folder._whole() == [path]
    (tmp_path / "b.csv").symlink_to(tmp_path / "nowhere")
    assert folder._whole() == [path]
    path.unlink()
    assert folder._whole() == []
    folder._put_away(path, "done", [])


@pytest.mark.parametrize(
    ("payload", "found"),
    [
        (b'{"value": 1.5, "time": "t"}', [{"point": "bus:7:p_kw", "value": 1.5, "time": "t"}]),
        (b'{"point": "bus:8:p_kw", "value": 1}', [{"point": "bus:8:p_kw", "value": 1}]),
        (b'{"measurements": [{"value": 1}, 7]}', [{"point": "bus:7:p_kw", "value": 1}, 7]),
        (b"no json", None),
        (b"\xff", None),
        (b"[" * 100_000, None),
    ],
)
def test_messages(payload: bytes, found: list[Any] | None) -> None:
    """What is no JSON is told and left; the service checks the rest."""
    batch = batch_of("one", "bus:7:p_kw", payload)
    assert (None if batch is None else batch.measurements) == found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_broker() -> None:
    """Messages of a real broker in this process, which is away at first, and again in the middle."""
    amqtt = pytest.importorskip("amqtt.broker", reason="amqtt is not installed (extra dev)")
    aiomqtt = pytest.importorskip("aiomqtt", reason="aiomqtt is not installed (extra mqtt)")
    port, service = free_port(), Service()
    settings = {
        "listeners": {"default": {"type": "tcp", "bind": f"127.0.0.1:{port}"}},
        "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
    }

    async def published(topic: str, payload: Any, wanted: int) -> None:
        """Until it has arrived: who subscribes late gets nothing that was sent before."""
        while sum(len(found) for _, found in service.sent) < wanted:
            async with aiomqtt.Client("127.0.0.1", port) as client:
                await client.publish(topic, payload, qos=1)
            await asyncio.sleep(0.05)

    async def all_of_it() -> None:
        delivery = asyncio.create_task(deliver(Mqtt("127.0.0.1", port, "grid/a"), service, pause_s=0.05))
        await asyncio.sleep(0.1)  # nobody listens yet
        for life in (1, 2):
            broker = amqtt.Broker(settings)
            await broker.start()
            await published("grid/a/one/bus:7:p_kw", json.dumps({"value": 200, "time": NOON}), 2 * life - 1)
            async with aiomqtt.Client("127.0.0.1", port) as client:
                await client.publish("grid/a/one", b"no json", qos=1)
            await published("grid/a/two", json.dumps([point(1)]), 2 * life)
            await broker.shutdown()
        delivery.cancel()
        await asyncio.gather(delivery, return_exceptions=True)

    asyncio.run(asyncio.wait_for(all_of_it(), 60))
    assert {feeder for feeder, _ in service.sent} == {"one", "two"}
    assert {"point": "bus:7:p_kw", "value": 200, "time": NOON} in [one for _, some in service.sent for one in some]
    with pytest.raises(DataError, match="prefix"):
        Mqtt("here", prefix="a/#")


def test_a_server_of_opc_ua(tmp_path: Path) -> None:
    """Values, qualities and times of a real server in this process; its end is waited out."""
    asyncua = pytest.importorskip("asyncua", reason="asyncua is not installed (extra opcua)")
    ua = asyncua.ua
    port, service = free_port(), Service()
    url = f"opc.tcp://127.0.0.1:{port}/learnopt"

    async def all_of_it() -> None:
        server = asyncua.Server()
        await server.init()
        server.set_endpoint(url)
        server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
        space = await server.register_namespace("learnopt")
        for name, value in (("P", 2e5), ("Closed", True), ("Text", "none")):
            await server.nodes.objects.add_variable(ua.NodeId(name, space), name, value)
        doubtful = ua.DataValue(ua.Variant(1.02), ua.StatusCode(ua.StatusCodes.UncertainInitialValue))
        node = await server.nodes.objects.add_variable(ua.NodeId("V", space), "V", 1.0)
        await node.write_value(doubtful)
        (tmp_path / "nodes.csv").write_text(
            f"node,point,scale\nns={space};s=P,bus:7:p_kw,0.001\nns={space};s=Closed,branch:1:closed,\n"
            f"ns={space};s=V,bus:7:v_pu,\nns={space};s=Text,bus:8:p_kw,\nns={space};s=Absent,bus:9:p_kw,\n"
        )
        source = OpcUa(url, tags_of(tmp_path / "nodes.csv", "one"), every_s=0.05)
        delivery = asyncio.create_task(deliver(source, service, pause_s=0.05))
        await asyncio.sleep(0.1)  # nobody listens yet
        async with server:
            while not service.sent:
                await asyncio.sleep(0.05)
        delivery.cancel()
        await asyncio.gather(delivery, return_exceptions=True)

    asyncio.run(asyncio.wait_for(all_of_it(), 60))
    feeder, found = service.sent[0]
    assert feeder == "one"
    assert [(one["point"], one["value"], one["quality"]) for one in found] == [
        ("bus:7:p_kw", 200.0, "good"),
        ("branch:1:closed", 1.0, "good"),
        ("bus:7:v_pu", 1.02, "doubtful"),
        ("bus:8:p_kw", 0.0, "bad"),
    ]
    assert all(datetime.fromisoformat(one["time"]).tzinfo is not None for one in found)
    bad = ua.DataValue(ua.Variant(5.0), ua.StatusCode(ua.StatusCodes.BadSensorFailure))
    one = measured(Tag("n", "bus:1:p_kw", 2.0, "one"), bad, datetime(2026, 1, 1, tzinfo=UTC))
    assert one == {"point": "bus:1:p_kw", "value": 10.0, "time": "2026-01-01T00:00:00+00:00", "quality": "bad"}


def test_tables_of_nodes_that_are_wrong(tmp_path: Path) -> None:
    """Everything at once, with its line."""
    path = tmp_path / "nodes.csv"
    path.write_text("node,point,scale\n,bus:7:p_kw,1\nn,p,many\n")
    with pytest.raises(DataError) as caught:
        tags_of(path)
    said = "; ".join(caught.value.violations)
    assert all(part in said for part in ("line 2: node", "line 3: scale = 'many'", "line 3: no feeder"))
    path.write_text("node,name\n")
    with pytest.raises(DataError, match="'point' is missing"):
        tags_of(path)
    with pytest.raises(DataError, match="cannot be read"):
        tags_of(tmp_path / "nowhere.csv")
