"""What the documentation tells a reader to run, runs: kcat, confluent-kafka, KafkaJS."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from confluent_kafka import Consumer, Producer

from schemas.documents import examples
from schemas.events.codec import EventDecoder
from schemas.events.contract import Contract
from schemas.events.kinds import Kind
from schemas.events.messages import ItemUpsert
from streams.settings import load_settings
from tests.end_to_end.documentation.snippets import DOCS, Reader, Snippet, snippets


def by_clients(page: str) -> list[Snippet]:
    """The page's blocks that publish or read; those for kcat with its stand-in too."""
    found = [s for s in snippets(page) if s.language in {"bash", "python", "js"}]
    return found + [s.without_kcat() for s in found if s.language == "bash"]


PUBLISH = by_clients("publish.md")
SUBSCRIBE = by_clients("subscribe.md")


def name(snippet: Snippet) -> str:
    return snippet.heading


def one_message(reader: Reader, topic: str) -> Any:
    consumer = Consumer(
        {
            "bootstrap.servers": reader.bootstrap,
            "group.id": reader.prefix,
            "auto.offset.reset": "earliest",
        }
    )
    consumer.subscribe([reader.prefix + topic])
    message = consumer.poll(20)
    consumer.close()
    assert message is not None
    assert not message.error()
    return message


@pytest.mark.parametrize("snippet", PUBLISH, ids=name)
def test_a_client_of_the_documentation_publishes_what_hark_reads(
    reader: Reader, snippet: Snippet
) -> None:
    reader.run(snippet)
    topic = "items" if "-t items" in snippet.text else "events"
    message = one_message(reader, topic)
    if topic == "items":
        assert message.key() == b"sku-889"
        assert msgspec.json.decode(message.value(), type=ItemUpsert).title == "Trail shoe"
        return
    row = EventDecoder(Contract()).decode(message.value())
    assert message.key() == row.user_id.encode()
    assert (row.user_id, row.kind, row.items[0][0]) == ("u-4711", Kind.VIEW, "sku-889")


@pytest.mark.parametrize("snippet", SUBSCRIBE, ids=name)
def test_a_client_of_the_documentation_reads_the_answers(reader: Reader, snippet: Snippet) -> None:
    topic = "alerts" if "alerts" in snippet.text else "recommendations"
    payload = next(iter(examples.valid(topic).values()))
    producer = Producer({"bootstrap.servers": reader.bootstrap})
    if "-o end" in snippet.text:
        # Only what comes later is shown: read from the start instead, to have it now.
        snippet = replace(snippet, text=snippet.text.replace("-o end", "-o beginning"))
    producer.produce(reader.prefix + topic, key="u-4711", value=json.dumps(payload))
    producer.flush()
    line = reader.first_line(snippet, "u-4711")
    assert "501" in line or "churn" in line


def test_the_first_example_of_the_page_is_a_golden_one() -> None:
    shown = json.loads(next(s.text for s in snippets("publish.md") if s.language == "json"))
    assert EventDecoder(Contract()).decode(json.dumps(shown).encode()).known_name


def test_the_settings_of_the_page_are_settings(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "hark.toml"
    file.write_text(next(s.text for s in snippets("publish.md") if s.language == "toml"))
    monkeypatch.setenv("HARK_CONFIG", str(file))
    contract = load_settings().product_contract()
    assert contract.event_names["Checkout finished"] is Kind.PURCHASE
    assert "properties.iban" in contract.entities


def test_the_table_of_outcomes_names_every_reason_decoding_can_give() -> None:
    page = (DOCS / "publish.md").read_text()
    for example in examples.rejected("events"):
        assert f"dead letter `{example.reason}`" in page
