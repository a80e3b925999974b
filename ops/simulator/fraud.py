"""Fraud bursts: compromised terminals and taken-over accounts, confirmed days later."""

from __future__ import annotations

import numpy as np
import polars as pl

from ops.simulator.shop import DAY_S, Floats, Ints, Shop

TERMINAL, TAKEOVER = "terminal", "takeover"
_CONFIRM_DAYS = (1.0, 7.0)
_TERMINAL_DAYS_PER_BURST = 100.0
_USER_DAYS_PER_TAKEOVER = 8_000.0
_MOST_TAKEOVERS = 500
_MOST_RECENT_S = 30 * DAY_S


def at_terminals(rng: np.random.Generator, shop: Shop, paid: pl.DataFrame) -> pl.DataFrame:
    """Mark payments at compromised terminals: a third of what such a terminal takes.

    The amounts are ordinary: only the terminal's other frauds give them away.
    """
    bursts = round(shop.terminals * shop.days / _TERMINAL_DAYS_PER_BURST)
    hit = rng.permutation(shop.terminals)[: max(2, bursts)]
    start_s, end_s = np.full((2, shop.terminals), np.inf)
    start_s[hit] = rng.uniform(0.0, shop.days, len(hit)) * DAY_S
    end_s[hit] = start_s[hit] + rng.uniform(6.0, 14.0, len(hit)) * DAY_S
    where, when = paid["terminal"].to_numpy(), paid["time_s"].to_numpy()
    caught = (when >= start_s[where]) & (when < end_s[where])
    fraud = caught & (rng.random(len(paid)) < 0.4)
    return paid.with_columns(scenario=pl.when(pl.Series(fraud)).then(pl.lit(TERMINAL)))


def takeovers(
    rng: np.random.Generator, shop: Shop, visiting: Ints, start_s: Floats
) -> pl.DataFrame:
    """Payments of thieves in others' accounts: one new device per burst, large amounts.

    Parameters
    ----------
    visiting, start_s
        (S,): user and start of every session; victims have been here in the last month.
    """
    parts = []
    usual = float(np.median(shop.price)) * 1.5
    bursts = round(len(shop.mood) * shop.days / _USER_DAYS_PER_TAKEOVER)
    for burst in range(int(np.clip(bursts, 2, _MOST_TAKEOVERS))):
        now_s = rng.uniform(1.0, max(shop.days - 1.0, 1.5)) * DAY_S
        recent = np.unique(visiting[(start_s < now_s) & (start_s > now_s - _MOST_RECENT_S)])
        victims = rng.permutation(recent)[: rng.integers(4, 11)]
        user = np.repeat(victims, rng.integers(1, 4, len(victims)))
        parts.append(
            pl.DataFrame(
                {
                    "user": user,
                    "time_s": now_s + rng.uniform(0.0, 1.5 * DAY_S, len(user)),
                    "amount": (usual * rng.lognormal(1.5, 0.4, len(user))).round(2),
                    "terminal": rng.integers(0, shop.terminals, len(user)),
                    "device": np.full(len(user), -1 - burst),
                    "scenario": [TAKEOVER] * len(user),
                }
            )
        )
    return pl.concat(parts)


def confirmations(rng: np.random.Generator, paid: pl.DataFrame) -> pl.DataFrame:
    """The label events: each fraud becomes known one to seven days after its payment."""
    known = paid.filter(pl.col("scenario").is_not_null())
    delay_s = rng.uniform(*_CONFIRM_DAYS, len(known)) * DAY_S
    return known.select(
        "user",
        "terminal",
        "device",
        time_s=pl.col("time_s") + pl.Series(delay_s),
        confirms=pl.col("payment"),
        event=pl.lit("Fraud Confirmed"),
    )
