"""Files over HTTP as sources: what is published of them, and when a run is asked for."""

from __future__ import annotations

import datetime as dt
import email.utils
import gzip
import hashlib
import io
import logging
import time
import zipfile
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

import dagster as dg
import pytest

import mlops_assets as ma
from mlops_assets.platform.assets.definitions import build_defs
from mlops_assets.platform.assets.ranges import RANGE_END, RANGE_START
from mlops_assets.platform.errors import ContractError
from mlops_assets.platform.lake import raw
from mlops_assets.platform.settings import Settings
from mlops_assets_tests.plumbing.sources.api import Bytes, RawServer, server_context
from mlops_assets_tests.plumbing.sources.file_server import OLD, FileServer
from mlops_assets_tests.plumbing.sources.rest_orders import SECRET
from mlops_assets_tests.plumbing.sources.shop import CUSTOMERS, SALES, RegionalSale, Sale, contract, rows, run
from mlops_assets_tests.serving.certificates import Office

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

GOOD: Final = "sale,day,amount,note\n1,2024-01-03,1.5,first\n"
OTHER: Final = GOOD.replace("first", "other")
ROW: Final = ("2024-01", 1, dt.date(2024, 1, 3), 1.5, "first")
QUICK: Final = ma.FileLimits(attempts=2, first_delay_seconds=0.01, answer_seconds=2.0, idle_seconds=1.0)
PATH: Final = "/2024-01.csv"
ALL: Final = b"month,sale,day,amount,note\n2024-01,1,2024-01-03,1.5,first\n2024-02,2,2024-02-03,2,x\n"


@pytest.fixture
def server() -> Iterator[FileServer]:
    with FileServer() as running:
        running.files[PATH] = GOOD.encode()
        yield running


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test() as made:
        yield made


def source(at: str, **options: Any) -> ma.HttpFileSource:  # noqa: ANN401  a declaration's
    return ma.HttpFileSource(
        **{"contract": SALES, "url": f"{at}/{{month}}.csv", "limits": QUICK, "retries": 0, **options}
    )


class Looks:
    """The sensor of a source, which looks again and again."""

    def __init__(self, declared: ma.HttpFileSource, instance: dg.DagsterInstance) -> None:
        self.source, self.instance = declared, instance
        self.cursor: str | None = None
        defs = build_defs([declared.asset()], name="shop", sensors=declared.sensors())
        self.repository = defs.get_repository_def()

    def look(self) -> dg.SensorResult:
        [sensor] = self.source.sensors()
        result = sensor(
            dg.build_sensor_context(instance=self.instance, cursor=self.cursor, repository_def=self.repository)
        )
        assert isinstance(result, dg.SensorResult)
        self.cursor = result.cursor
        return result

    def asked(self) -> list[str | None]:
        return [
            f"{each.tags[RANGE_START]} to {each.tags[RANGE_END]}" if RANGE_START in each.tags else each.partition_key
            for each in self.look().run_requests or []
        ]

    def run(self, partition: str | None = "2024-01") -> bool:
        return run(self.source, partition, instance=self.instance).success


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


class TestRows:
    def test_a_file_is_published_with_what_is_known_of_it(self, server: FileServer) -> None:
        server.manners.modified = OLD
        done = run(source(server.url))
        assert done.success, done.told
        assert rows() == [ROW]
        facts = {
            name: done.metadata[name] for name in ("address", "file_sha256", "last_modified", "packed", "attempts")
        }
        assert facts == {
            "address": f"{server.url}{PATH}",
            "file_sha256": digest(GOOD.encode()),
            "last_modified": OLD,
            "packed": "no",
            "attempts": 1,
        }
        assert done.metadata["etag"].startswith('"')
        assert done.metadata["delivery"].startswith(done.metadata["etag"])

    def test_one_that_breaks_off_and_is_replaced_is_published_as_it_is_then(self, server: FileServer) -> None:
        server.manners.cuts = [30]
        server.manners.cut = lambda: server.files.update({PATH: OTHER.encode()})
        assert run(source(server.url)).success
        assert rows()[0][-1] == "other"

    def test_one_that_never_comes_whole_leaves_the_last_good_rows(self, server: FileServer) -> None:
        assert run(source(server.url)).success
        server.files[PATH] = OTHER.encode()
        server.manners.etags, server.manners.cuts = "", [30, 30]
        told = run(source(server.url)).told
        assert "broke off" in told
        assert rows() == [ROW]

    def test_a_missing_one_is_late_and_may_come(self, server: FileServer) -> None:
        told = run(source(server.url), "2024-02").told
        assert "it is not there (it answers 404)" in told

    def test_a_web_page_is_refused(self, server: FileServer) -> None:
        server.files[PATH] = b"<html><title>Sign in</title></html>"
        assert "HTML page titled 'Sign in' where a file was due" in run(source(server.url)).told

    @pytest.mark.parametrize("packed", ["gzip", "zip"])
    def test_a_packed_file_is_unpacked_once(self, server: FileServer, packed: str) -> None:
        held = io.BytesIO()
        if packed == "zip":
            with zipfile.ZipFile(held, "w") as archive:
                archive.writestr("sales.csv", GOOD)
        server.files[PATH] = held.getvalue() or gzip.compress(GOOD.encode())
        done = run(source(server.url))
        assert done.success, done.told
        assert done.metadata["packed"] == packed
        assert rows() == [ROW]

    @pytest.mark.parametrize(
        ("body", "packed"),
        [
            (gzip.compress(GOOD.encode()), "no"),
            (gzip.compress(gzip.compress(GOOD.encode())), "gzip"),
        ],
        ids=["a file that is packed for the way", "a packed file that is packed for the way"],
    )
    def test_what_is_packed_for_the_way_though_nobody_asked_is_unpacked(
        self, server: FileServer, body: bytes, packed: str
    ) -> None:
        server.files[PATH] = body
        server.manners.headers["Content-Encoding"] = "gzip"
        server.manners.cuts = [20]
        done = run(source(server.url))
        assert done.success, done.told
        assert (done.metadata["packed"], done.metadata["file_sha256"]) == (packed, digest(body))
        assert rows() == [ROW]

    def test_partitions_at_once_that_are_packed_for_the_way_are_not_mixed(self, server: FileServer) -> None:
        months = [f"2024-{month:02}" for month in range(1, 7)]
        for number, month in enumerate(months, 1):
            lines = "".join(f"{row},2024-01-03,1.5,{month}\n" for row in range(20_000 * number))
            server.files[f"/{month}.csv"] = gzip.compress(f"sale,day,amount,note\n{lines}".encode())
        server.manners.headers["Content-Encoding"] = "gzip"
        declared = source(server.url, at_once=4)
        for _ in range(3):
            done = run(declared, None, tags={RANGE_START: months[0], RANGE_END: months[-1]})
            assert done.success, done.told
            found = Counter((row[0], row[4]) for row in rows())
            assert found == {(month, month): 20_000 * number for number, month in enumerate(months, 1)}

    def test_what_unpacks_to_more_than_its_limit_is_refused_and_leaves_nothing(self, server: FileServer) -> None:
        server.files[PATH] = gzip.compress(f"sale,day,amount,note\n{'1,2024-01-03,1.5,x' * 1_000_000}\n".encode())
        server.manners.headers["Content-Encoding"] = "gzip"
        limits = QUICK.model_copy(update={"largest_body_bytes": 1_000_000})
        assert "larger than 1,000,000 bytes" in run(source(server.url, limits=limits)).told
        assert not [*raw.incoming(Settings.load(), SALES).parent.iterdir()]

    def test_what_is_said_to_be_packed_and_is_not_is_refused(self, server: FileServer) -> None:
        server.manners.headers["Content-Encoding"] = "gzip"
        assert "packed by gzip for the way, and is not" in run(source(server.url)).told

    def test_another_packing_for_the_way_is_refused(self, server: FileServer) -> None:
        server.manners.headers["Content-Encoding"] = "br"
        assert "packed as 'br', which was not asked for" in run(source(server.url)).told

    def test_a_body_without_any_end_is_refused(self) -> None:
        endless = Bytes(parts=[b"HTTP/1.1 200 OK\r\nContent-Type: text/csv\r\n\r\n", GOOD.encode()])
        with RawServer(endless) as raw:
            assert "nobody knows if it is whole" in run(source(raw.url)).told

    def test_a_zip_archive_proves_itself_without_any_end(self) -> None:
        held = io.BytesIO()
        with zipfile.ZipFile(held, "w") as archive:
            archive.writestr("sales.csv", GOOD)
        endless = Bytes(parts=[b"HTTP/1.1 200 OK\r\n\r\n", held.getvalue()])
        with RawServer(endless) as raw:
            assert run(source(raw.url)).success
        assert rows() == [ROW]

    def test_a_file_of_all_partitions_gives_each_its_rows(self, server: FileServer) -> None:
        server.files["/all.csv"] = ALL
        assert run(source(server.url, url=f"{server.url}/all.csv")).success
        assert rows() == [ROW]

    def test_a_file_of_all_partitions_with_rows_of_none_is_refused(self, server: FileServer) -> None:
        server.files["/all.csv"] = b"month,sale,day,amount,note\n2024-01.0,1,2024-01-03,1.5,first\n"
        assert "'2024-01.0'" in run(source(server.url, url=f"{server.url}/all.csv")).told

    def test_a_snapshot_is_the_whole_file(self, server: FileServer) -> None:
        server.files["/now.csv"] = GOOD.encode()
        assert run(source(server.url, url=f"{server.url}/now.csv", snapshot=True)).success
        assert rows() == [ROW]


class TestChecksums:
    whole = ma.Checksum()

    @pytest.mark.parametrize(
        "text", ["{}\n", "{}  2024-01.csv\n", "{} *2024-01.csv\n", "0{}  other.csv\n{}  2024-01.csv\n"]
    )
    def test_a_file_that_has_its_checksum_is_published(self, server: FileServer, text: str) -> None:
        right = digest(GOOD.encode())
        server.files[f"{PATH}.sha256"] = text.replace("0{}", "0" * 64).format(right).encode()
        done = run(source(server.url, whole=self.whole))
        assert done.success, done.told
        assert done.metadata["delivery"] == right

    @pytest.mark.parametrize(
        ("text", "told"),
        [
            ("0" * 64, "its SHA-256 is not the one beside it"),
            ("soon", "it holds no SHA-256 of 2024-01.csv"),
            ("0" * 64 + "  other.csv", "it holds no SHA-256 of 2024-01.csv"),
            (None, "it is not there"),
        ],
    )
    def test_one_that_has_not_is_refused(self, server: FileServer, text: str | None, told: str) -> None:
        if text is not None:
            server.files[f"{PATH}.sha256"] = text.encode()
        done = run(source(server.url, whole=self.whole))
        assert not done.success
        assert told in done.told

    def test_it_tells_what_is_new_where_no_validator_does(
        self, server: FileServer, instance: dg.DagsterInstance
    ) -> None:
        server.manners.etags = ""
        looks = Looks(source(server.url, whole=self.whole, contract=ENDED), instance)
        assert looks.asked() == []
        server.files[f"{PATH}.sha256"] = digest(GOOD.encode()).encode()
        assert looks.asked() == ["2024-01"]
        assert looks.run()
        looks.cursor = None
        assert looks.asked() == []


ENDED: Final = contract(
    "ended_sales", Sale, partitions_def=dg.MonthlyPartitionsDefinition("2024-01", end_date="2024-04", fmt="%Y-%m")
)
"""A table whose partitions have all ended."""


class TestArrivals:
    @pytest.mark.parametrize("methods", [frozenset({"GET", "HEAD"}), frozenset({"GET"})])
    @pytest.mark.parametrize(("etags", "modified"), [("strong", None), ("weak", None), ("", OLD)])
    @pytest.mark.parametrize("conditions", ["heeded", "not heeded"])
    def test_a_file_is_asked_for_until_it_is_published_and_again_when_it_is_another(
        self,
        server: FileServer,
        instance: dg.DagsterInstance,
        methods: frozenset[str],
        etags: str,
        modified: str | None,
        conditions: str,
    ) -> None:
        manners = server.manners
        manners.etags, manners.modified, manners.methods = etags, modified, methods
        manners.conditions = conditions == "heeded"
        looks = Looks(source(server.url, contract=ENDED), instance)
        assert looks.asked() == ["2024-01"]
        assert looks.run()
        looks.cursor = None
        assert looks.asked() == []
        server.files[PATH] = OTHER.encode()
        manners.modified = modified and "Sun, 02 Jan 2022 00:00:00 GMT"
        assert looks.asked() == ["2024-01"]
        assert looks.run()
        looks.cursor = None
        assert looks.asked() == []

    def test_a_look_reads_no_body(self, server: FileServer, instance: dg.DagsterInstance) -> None:
        looks = Looks(source(server.url, contract=ENDED), instance)
        looks.look()
        assert server.sent == 0
        assert {*server.methods()} == {"HEAD"}

    def test_of_a_file_of_all_partitions_those_that_are_not_in_it_are_asked_for_but_once(
        self, server: FileServer, instance: dg.DagsterInstance
    ) -> None:
        server.files["/all.csv"] = ALL
        looks = Looks(source(server.url, contract=ENDED, url=f"{server.url}/all.csv"), instance)
        assert looks.asked() == ["2024-01 to 2024-03"]
        assert not looks.run("2024-03")
        looks.cursor = None
        assert looks.asked() == ["2024-01 to 2024-02"]
        assert "no rows of 2024-03, which is not asked for" in str(looks.look().skip_reason)

    def test_a_time_that_is_too_fresh_is_asked_for_once_more(
        self, server: FileServer, instance: dg.DagsterInstance
    ) -> None:
        server.manners.etags, server.manners.modified = "", email.utils.formatdate(time.time() - 56, usegmt=True)
        looks = Looks(source(server.url, contract=ENDED), instance)
        assert looks.asked() == ["2024-01"]
        assert looks.run()
        time.sleep(5)
        assert looks.asked() == ["2024-01"]
        assert looks.run()
        assert looks.asked() == []

    def test_of_many_partitions_the_latest_that_have_ended_are_asked_about(
        self, server: FileServer, instance: dg.DagsterInstance
    ) -> None:
        days = contract("daily", Sale, partitions_def=dg.DailyPartitionsDefinition("2020-01-01", end_offset=3))
        looks = Looks(source(server.url, contract=days, watched=3), instance)
        looks.look()
        today = dt.datetime.now(dt.UTC).date()
        expected = [f"/{today - dt.timedelta(days=ago)}.csv" for ago in (1, 2, 3)]
        assert [each.path for each in server.asked] == expected

    def test_two_dimensions_are_watched_in_the_order_of_time(
        self, server: FileServer, instance: dg.DagsterInstance
    ) -> None:
        definition = dg.MultiPartitionsDefinition(
            {
                "month": dg.MonthlyPartitionsDefinition("2024-01", end_date="2024-04", fmt="%Y-%m"),
                "region": dg.StaticPartitionsDefinition(["north", "south"]),
            }
        )
        columns = {"month": "month", "region": "region"}
        table = contract("regional", RegionalSale, partitions_def=definition, partition_columns=columns)
        server.files["/south/2024-03.csv"] = b"x"
        looks = Looks(
            source(server.url, contract=table, url=f"{server.url}/{{region}}/{{month}}.csv", watched=3), instance
        )
        assert looks.asked() == ["2024-03|south"]
        assert [each.path for each in server.asked] == [
            "/north/2024-03.csv",
            "/south/2024-03.csv",
            "/north/2024-02.csv",
        ]

    def test_a_server_without_validators_is_told_to_be_asked_by_cron(
        self, server: FileServer, instance: dg.DagsterInstance
    ) -> None:
        server.manners.etags = ""
        looked = Looks(source(server.url, contract=ENDED), instance).look()
        assert "sends neither ETag nor Last-Modified" in str(looked.skip_reason)
        assert "cron" in str(looked.skip_reason)

    def test_an_address_that_is_another_one_is_asked_for_though_its_validator_is_the_same(
        self, server: FileServer, instance: dg.DagsterInstance
    ) -> None:
        looks = Looks(source(server.url, contract=ENDED), instance)
        assert looks.run()
        server.files["/new/2024-01.csv"] = GOOD.encode()
        moved = Looks(source(server.url, contract=ENDED, url=f"{server.url}/new/{{month}}.csv"), instance)
        assert moved.asked() == ["2024-01"]

    def test_a_file_of_all_partitions_is_asked_about_once(
        self, server: FileServer, instance: dg.DagsterInstance
    ) -> None:
        server.files["/all.csv"] = b"month,sale,day,amount,note\n2024-01,1,2024-01-03,1.5,first\n"
        looks = Looks(source(server.url, contract=ENDED, url=f"{server.url}/all.csv"), instance)
        assert looks.asked() == ["2024-01 to 2024-03"]
        assert server.methods() == ["HEAD"]

    def test_a_snapshot_is_asked_for_of_the_last_partition_alone(
        self, server: FileServer, instance: dg.DagsterInstance
    ) -> None:
        server.files["/now.csv"] = GOOD.encode()
        looks = Looks(source(server.url, contract=ENDED, url=f"{server.url}/now.csv", snapshot=True), instance)
        assert looks.asked() == ["2024-03"]

    def test_a_server_that_is_away_or_refuses_is_told(self, server: FileServer, instance: dg.DagsterInstance) -> None:
        looks = Looks(source(server.url, contract=ENDED), instance)
        server.manners.status = 503
        assert "Nothing new has arrived." in str(looks.look().skip_reason)
        assert "answers 503" in str(looks.look().skip_reason)
        server.manners.secret = "Bearer x"  # noqa: S105  a made one
        assert "wants to know who asks" in str(looks.look().skip_reason)

    def test_what_is_due_is_asked_for_unless_it_stands(self, server: FileServer, instance: dg.DagsterInstance) -> None:
        declared = source(server.url, contract=ENDED, cron="0 6 2 * *")
        assert declared.wanted(instance, ["2024-01", "2024-02"]) == ["2024-01", "2024-02"]
        assert run(declared, instance=instance).success
        assert declared.wanted(instance, ["2024-01", "2024-02"]) == ["2024-02"]
        server.manners.etags = ""
        assert declared.wanted(instance, ["2024-01"]) == ["2024-01"]


class TestDeclaration:
    @pytest.mark.parametrize("url", ["http://x/{start:%Y}.csv", "http://x/{week}.csv", "http://u:p@x/{month}.csv"])
    def test_an_address_that_cannot_be_right_is_refused(self, url: str) -> None:
        with pytest.raises(ContractError):
            source("", url=url)

    def test_a_place_is_no_other_code_version(self) -> None:
        assert source("http://a").code_version() == source("http://b", watched=3).code_version()
        assert source("http://a").code_version() != source("http://a", format=ma.Parquet()).code_version()

    def test_it_can_be_said_in_yaml(self) -> None:
        declared = ma.HttpFileSource.resolve_from_yaml(
            "contract: mlops_assets_tests.plumbing.sources.shop.SALES\n"
            'url: "{{ env.EXPORTS }}/{month}.csv"\n'
            'query: {version: "2"}\n'
            "auth: {type: bearer, secret: {file: orders_token}}\n"
            "whole: {type: checksum}\n"
            "limits: {total_seconds: 7200}\n"
            "watched: 3\n"
        )
        assert declared.whole == ma.Checksum()
        assert (declared.limits.total_seconds, declared.limits.largest_body_bytes) == (7200.0, 64 * 2**30)


class TestSecrets:
    @pytest.mark.usefixtures("secrets")
    def test_a_secret_is_sent_with_every_question_and_shown_nowhere(
        self, server: FileServer, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        auth = ma.Bearer(secret=ma.Secret(file="orders_token"))
        server.manners.secret, server.manners.cuts = f"Bearer {SECRET}", [30]
        done = run(source(server.url, auth=auth, query={"sig": "topsecret"}))
        assert done.success, done.told
        assert [each.path for each in server.asked] == [f"{PATH}?sig=topsecret"] * 2
        server.manners.secret = "Bearer another"  # noqa: S105  a made one
        told = run(source(server.url, auth=auth, query={"sig": "topsecret"})).told
        assert "does not accept what was sent: secret file orders_token" in told
        for text in (SECRET, "topsecret"):
            assert text not in told + caplog.text + str(done.metadata)

    def test_a_validator_that_repeats_the_secret_counts_as_none(self, server: FileServer, secrets: Path) -> None:
        # The fixture's folder holds it.
        assert secrets.is_dir()
        server.manners.etags = ""
        server.manners.headers["ETag"] = f'"v1-{SECRET}"'
        done = run(source(server.url, auth=ma.Bearer(secret=ma.Secret(file="orders_token"))))
        assert done.success, done.told
        assert SECRET not in str(done.metadata)
        assert "etag" not in done.metadata

    def test_no_message_quotes_what_a_server_of_persons_says(self, server: FileServer) -> None:
        server.manners.status = 400
        told = run(source(server.url, contract=CUSTOMERS)).told
        assert "answers 400." in told
        assert "so it is" not in told

    def test_a_server_proves_who_it_is_by_tls(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        office = Office(tmp_path / "office")
        with FileServer(server_context(*office.server())) as server:
            server.files[PATH] = GOOD.encode()
            server.manners.cuts = [30]
            assert "its certificate is not accepted" in run(source(server.url)).told
            monkeypatch.setenv("SSL_CERT_FILE", str(office.server_authority))
            done = run(source(server.url))
        assert done.success, done.told
        assert rows() == [ROW]
