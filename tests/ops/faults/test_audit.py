"""The audit finds what is wrong: each kind of wrong is planted once."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import msgspec

from ops.faults.audit import Account, Audit, digest
from ops.faults.evidence import Evidence, evidence


def event(number: int) -> bytes:
    return msgspec.json.encode({"messageId": f"m{number}", "userId": "u"})


def answer(number: int, content: int = 1) -> Evidence:
    return Evidence(f"rec-{number}", content, f"m{number}")


@dataclass
class Story:
    """Six events: 0 to 3 lead to a list, 4 is silent, 5 is malformed; 0 comes twice."""

    acked: Counter[int] = field(default_factory=Counter)
    log: list[bytes] = field(default_factory=lambda: [*map(event, range(5)), b"[5]", event(0)])
    committed: int = 7
    outputs: list[Evidence] = field(
        default_factory=lambda: [*map(answer, range(4)), Evidence("dead-0/5", 1, "0/5")]
    )

    def account(self) -> Account:
        acked = self.acked or Counter(map(digest, [*map(event, range(5)), b"[5]", event(0)]))
        audit = Audit(acked, {0: self.committed})
        for offset, value in enumerate(self.log):
            audit.see_event(0, offset, value)
        for one in Story().outputs:
            audit.expect(one)
        for one in self.outputs:
            audit.see_output(one)
        return audit.account(recognised=1)


def test_all_is_well() -> None:
    assert Story().account() == Account(
        acked=7, lost=0, scored=5, dead_lettered=1, duplicates=1, silent=1,
        missing=0, unexpected=0, different=0, repeated=0, unrecognised=0,
    )  # fmt: skip


def test_an_acknowledged_event_that_is_not_in_the_log_is_lost() -> None:
    story = Story()
    story.acked = Counter(map(digest, [*map(event, range(5)), b"[5]", event(0), b"gone"]))
    assert story.account().lost == 1


def test_an_event_without_its_list_is_lost() -> None:
    story = Story()
    del story.outputs[2]
    account = story.account()
    assert (account.lost, account.missing, account.scored) == (1, 1, 4)


def test_a_malformed_record_without_its_dead_letter_is_lost() -> None:
    story = Story()
    del story.outputs[4]
    account = story.account()
    assert (account.lost, account.missing, account.dead_lettered) == (1, 1, 0)


def test_a_silent_event_that_the_group_has_not_read_is_lost() -> None:
    assert Story(committed=4).account().lost == 3  # 4, 5, and the repeat of 0


def test_a_repeat_is_no_difference_and_other_content_is() -> None:
    story = Story()
    story.outputs += [answer(1), answer(2, content=9)]
    account = story.account()
    assert (account.repeated, account.different) == (2, 1)
    story = Story()
    story.outputs[3] = answer(3, content=9)
    assert story.account().different == 1


def test_an_output_that_the_log_does_not_lead_to_is_unexpected() -> None:
    story = Story()
    story.outputs.append(answer(4))
    assert story.account().unexpected == 1


def test_content_is_key_value_and_headers() -> None:
    value = b'{"recommendation_id":"r","trigger_message_id":"m"}'
    one = evidence("recommendations", b"u", value, [])
    assert one[::2] == ("r", "m")
    assert one == evidence("recommendations", b"u", value, [])
    others = [(b"v", value, []), (b"u", value + b" ", []), (b"u", value, [("a", b"b")])]
    assert (
        len({evidence("recommendations", *other).content for other in others} - {one.content}) == 3
    )
