"""The report as one static HTML page: no script, no network, readable on its own."""

from collections.abc import Iterable
from html import escape
from typing import Any

from modelyard_cli.demo.drawing import chart, document, table
from modelyard_cli.demo.report import NAMES, note


def page(report: dict[str, Any]) -> str:
    """The whole document."""
    title = f"{report['model']}: one stream, {len(report['loops'])} loops"
    body = (
        f"<h1>{escape(title)}</h1>{_facts(report)}"
        f"<h2>{report['metric'].capitalize()} over the stream</h2>{_legend(report)}{_chart(report)}{_accuracy(report)}"
        f"<h2>What happened, when and why</h2>{''.join(_stories(report))}"
        f"<h2>Versions</h2>{_versions(report)}"
    )
    return document(title, body)


def _facts(report: dict[str, Any]) -> str:
    accuracy = report["accuracy"]
    gain = accuracy["platform_overall"] - accuracy["frozen_overall"]
    rollback = f"{report['rollback_seconds']:.2f} s" if report["rollback_seconds"] is not None else "none"
    facts = [
        (
            f"{accuracy['platform_overall']:.3f}",
            f"{report['metric']}; version 1 alone {accuracy['frozen_overall']:.3f} ({gain:+.3f})"
            + "".join(f", {NAMES[name]} {accuracy[f'{name}_overall']:.3f}" for name in _others(report)),
        ),
        (f"{report['predictions_distinct']:,}", f"predictions stored of {report['rows_sent']:,} answered"),
        (f"{report['labels_joined']:,}", f"labels joined of {report['labels_sent']:,} sent"),
        (f"{report['latency_ms']['p50']} ms", f"answer time, median; p99 {report['latency_ms']['p99']} ms"),
        (rollback, "roll-back, from the command to the last router"),
        (f"{report['wall_seconds']} s", f"for everything on this page; {_cost(report['cost'])}"),
    ]
    cards = "".join(f"<div><b>{escape(value)}</b>{escape(text)}</div>" for value, text in facts)
    return f'<div class="facts">{cards}</div>'


def _cost(cost: dict[str, Any]) -> str:
    usd = cost["training_usd"] + cost["predictions_usd"]
    return f"{cost['training_seconds']:.1f} s of it training; {usd:.4f} USD"


def _others(report: dict[str, Any]) -> list[str]:
    """Ways to work beside the platform and version 1 alone."""
    return [name for name in NAMES if name in report["curve"] and name not in ("frozen", "platform")]


def _legend(report: dict[str, Any]) -> str:
    keys = " &#160; ".join(
        f'<span class="key-{name}">&#9632; {escape(NAMES[name])}</span>' for name in NAMES if name in report["curve"]
    )
    return f"<p>{keys} &#160; {escape(report['metric'])} over the 500 rows before</p><p>{escape(note(report))}</p>"


def _chart(report: dict[str, Any]) -> str:
    curves = {name: report["curve"][name] for name in reversed(NAMES) if name in report["curve"]}
    marks = [
        (mark["row"], _word(mark), "live" if mark["what"].endswith("live") else "alarm") for mark in report["marks"]
    ]
    return chart(curves, report["rows_sent"], marks)


def _word(mark: dict[str, Any]) -> str:
    return f"alarm {mark['loop']}" if mark["what"] == "alarm" else str(mark["what"])


def _accuracy(report: dict[str, Any]) -> str:
    accuracy = report["accuracy"]
    names = [name for name in NAMES if name in accuracy]
    parts = list(zip(*(accuracy[name] for name in names), strict=True))
    body = [
        (f"{number} of {len(parts)}", *(f"{value:.3f}" for value in part), f"{part[-1] - part[0]:+z.3f}")
        for number, part in enumerate(parts, start=1)
    ]
    return table(("part of the stream", *(NAMES[name] for name in names), "gain over frozen"), body)


def _stories(report: dict[str, Any]) -> Iterable[str]:
    for number, loop in enumerate(report["loops"], start=1):
        outcome = (loop["rollout"] or loop["verdict"] or loop["run_state"]).replace("_", " ")
        serving = loop["rollout_version"] or loop["challenger"]
        version = f"version {serving}" if serving else "no version"
        head = f"Loop {number}: {loop['cause']}: {version}, {outcome}, {loop['seconds']} s"
        body = [(event["at"][11:23], event["type"], event["what"]) for event in loop["events"]]
        opened = " open" if number == 1 else ""
        yield (
            f"<details{opened}><summary>{escape(head)}</summary>"
            f"{table(('time (UTC)', 'event', 'what'), body)}"
            f"<p>timeline <code>{escape(loop['correlation_id'])}</code></p></details>"
        )


def _versions(report: dict[str, Any]) -> str:
    body = [(f"v{version['version']}", version["stage"], version["digest"]) for version in report["versions"]]
    back = report["rollback"]
    after = (
        f"<p>So they stood when the stream ended. Then v{back['to_version']} was put back in place of "
        f"v{back['from_version']}, to show how fast that is.</p>"
        if back
        else ""
    )
    return table(("version", "stage", "digest"), body) + after
