"""The automation condition: what wakes an asset, what holds it back, and that it comes to rest."""

from __future__ import annotations

from typing import TYPE_CHECKING

import dagster as dg
import pytest

from mlops_assets_tests.platform.assets.farm import NIGHT, ROTTEN, WEEKS, Farm

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def farm() -> Iterator[Farm]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield Farm(instance)


# What wakes.


def test_new_data_is_carried_from_step_to_step_and_each_is_made_once(farm: Farm) -> None:
    farm.arrives("w3", "ten")
    assert farm.follow() == [("yields", "w3"), ("season", None), ("bonus", None), ("cider", "w3")]


def test_a_late_old_partition_is_followed_too(farm: Farm) -> None:
    farm.arrives("w3", "ten")
    farm.follow()
    farm.arrives("w1", "ten")
    assert farm.tick("yields") == {"w1"}


def test_equal_rows_published_again_wake_nobody(farm: Farm) -> None:
    farm.arrives("w1", "ten")
    farm.follow()
    farm.arrives("w1", "ten")
    assert farm.follow() == []


def test_an_input_that_changes_right_after_a_request_wakes_its_consumer_again(farm: Farm) -> None:
    farm.arrives("w1", "ten")
    farm.tick("yields")
    farm.arrives("w1", "twelve")
    assert farm.tick("yields") == {"w1"}


def test_an_input_that_changes_while_its_consumer_is_made_wakes_it_again_when_that_has_ended(farm: Farm) -> None:
    def another() -> None:
        farm.arrives("w1", "twelve")
        during.append(farm.tick("yields"))

    during: list[set[str | None]] = []
    farm.arrives("w1", "ten")
    farm.tick("yields")
    farm.meanwhile = another
    farm.run("w1", "yields")
    farm.meanwhile = lambda: None
    assert during == [set()]
    assert farm.tick("yields") == {"w1"}


def test_a_run_of_an_input_and_one_partition_of_its_consumer_wakes_the_other_partition_that_reads_it(
    farm: Farm,
) -> None:
    for week in WEEKS:
        farm.arrives(week, "ten")
    farm.follow()
    farm.scale["w2"] = "twelve"
    farm.run("w2", "harvest", "changes")
    assert ("changes", "w3") in farm.follow()


# What holds back.


def test_a_failed_blocking_check_holds_consumers_back_until_it_passes(farm: Farm) -> None:
    farm.arrives("w1", "ten")
    farm.arrives("w1", ROTTEN)
    assert farm.tick("yields") == set()
    farm.arrives("w1", "ten")
    assert farm.tick("yields") == {"w1"}


def test_one_partition_that_has_passed_lets_a_step_go_on_that_reads_many(farm: Farm) -> None:
    for week in WEEKS:
        farm.arrives(week, "ten")
    farm.follow()
    farm.arrives("w1", ROTTEN)
    farm.arrives("w2", "twelve")
    assert ("bonus", None) in farm.follow()


def test_an_input_that_was_never_made_holds_nobody_back(farm: Farm) -> None:
    farm.arrives("w1", "ten")
    assert ("cider", "w1") in farm.follow()


def test_a_step_that_needs_all_its_inputs_waits_until_they_exist(farm: Farm) -> None:
    farm.arrives("w2", "ten")
    assert farm.tick("changes") == set()
    farm.arrives("w1", "ten")
    assert farm.tick("changes") == {"w1", "w2"}


def test_a_step_waits_while_another_partition_of_its_input_is_being_made(farm: Farm) -> None:
    def news() -> None:
        during.append(farm.tick("season"))

    during: list[set[str | None]] = []
    farm.arrives("w1", "ten")
    farm.arrives("w2", "ten")
    farm.run("w1", "yields")
    farm.meanwhile = news
    farm.run("w2", "yields")
    assert during == [set()]
    assert farm.tick("season") == {None}


def test_a_step_waits_for_what_it_is_judged_by_to_follow_the_same_news(farm: Farm) -> None:
    farm.arrives("w1", "ten")
    assert farm.tick("bonus") == set()
    farm.run("w1", "yields")
    assert farm.tick("bonus") == {None}


def test_a_step_does_not_wait_for_ever_for_what_was_made_in_the_run_of_its_input(farm: Farm) -> None:
    farm.scale["w1"] = "ten"
    farm.run("w1", "harvest", "yields")
    assert farm.follow().count(("bonus", None)) == 1


def test_a_step_goes_on_when_what_it_is_judged_by_has_failed(farm: Farm) -> None:
    farm.broken = {"yields"}
    farm.arrives("w1", "ten")
    assert farm.follow() == [("yields", "w1"), ("changes", "w1"), ("bonus", None)]


def test_a_dear_step_follows_at_the_next_tick_of_its_cron_expression(farm: Farm) -> None:
    farm.arrives("w1", "ten")
    assert farm.tick("accounts") == set()
    farm.clock = NIGHT
    assert farm.tick("accounts") == {"w1"}
    farm.arrives("w1", "twelve")
    assert farm.tick("accounts") == set()


def test_a_cron_tick_without_news_starts_no_run_later(farm: Farm) -> None:
    farm.clock = NIGHT
    farm.tick("accounts")
    farm.arrives("w1", "ten")
    assert farm.tick("accounts") == set()


def test_a_cron_tick_at_which_a_step_is_held_back_starts_its_run_afterwards(farm: Farm) -> None:
    farm.arrives("w1", "ten")
    farm.arrives("w1", ROTTEN)
    farm.clock = NIGHT
    assert farm.tick("accounts") == set()
    farm.arrives("w1", "ten")
    assert farm.tick("accounts") == {"w1"}


# What counts as followed.


def test_a_failed_run_that_was_asked_for_is_not_asked_for_again_until_there_are_further_news(farm: Farm) -> None:
    farm.broken = {"yields"}
    farm.arrives("w1", "ten")
    assert farm.follow().count(("yields", "w1")) == 1
    farm.arrives("w1", "twelve")
    assert farm.tick("yields") == {"w1"}


def test_a_failed_run_by_hand_has_not_followed(farm: Farm) -> None:
    farm.arrives("w1", "ten")
    farm.tick("accounts")
    farm.broken = {"accounts"}
    farm.meanwhile = lambda: farm.tick("accounts")
    farm.run("w1", "accounts")
    farm.clock = NIGHT
    assert farm.tick("accounts") == {"w1"}


def test_what_was_made_by_hand_is_made_once_more_and_no_more(farm: Farm) -> None:
    farm.scale["w1"] = "ten"
    farm.run("w1", "harvest", "yields", "cider")
    assert sorted(farm.follow(), key=str) == [
        ("bonus", None),
        ("changes", "w1"),
        ("cider", "w1"),
        ("season", None),
        ("yields", "w1"),
    ]


def test_an_input_that_changed_under_a_run_by_hand_is_followed_although_no_tick_saw_that_run(farm: Farm) -> None:
    farm.arrives("w1", "ten")
    farm.follow()
    farm.meanwhile = lambda: farm.arrives("w1", "twelve")
    farm.run("w1", "yields")
    farm.meanwhile = lambda: None
    assert ("yields", "w1") in farm.follow()


def test_a_consumer_that_failed_in_the_run_of_its_input_is_asked_for_again_once(farm: Farm) -> None:
    farm.scale["w1"] = "ten"
    farm.broken = {"yields"}
    farm.meanwhile = lambda: farm.tick("yields")
    farm.run("w1", "harvest", "yields")
    assert farm.follow().count(("yields", "w1")) == 1
