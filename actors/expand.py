"""What the driver of an expansion does: asks round by round, sifts what was answered, writes ledger and bank."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence

from actors.answering.backends import BACKENDS, answer
from toffee_pipeline.config.expand import ExpansionConfig
from toffee_pipeline.console.say import say
from toffee_pipeline.errors import NoAnswer
from toffee_pipeline.expansion.ask import Ask, Cell, cells_of, plan_round
from toffee_pipeline.expansion.filters import filters_of
from toffee_pipeline.expansion.known import check_classes, known_rows
from toffee_pipeline.expansion.sieve import REASONS, Filter, Proposal, Sieve
from toffee_pipeline.expansion.store import (
    BANK,
    LEDGER,
    SUMMARY,
    Answered,
    ExpansionHeader,
    ExpansionSummary,
    Ledger,
    claim,
    missing_shards,
    put_answers,
    read_answers,
)
from toffee_pipeline.on_ray.session import refuse_relative_output
from toffee_pipeline.plan.catalog import Catalog, load_catalog
from toffee_pipeline.plan.prompt_row import PromptRow
from toffee_pipeline.rundir.at_work import at_work
from toffee_pipeline.rundir.lease import Lease
from toffee_pipeline.rundir.prompt_bank import read_prompt_bank, write_prompt_bank
from toffee_pipeline.rundir.run_file import write
from toffee_pipeline.storage import Storage, open_storage

Known = Mapping[Cell, Sequence[str]]


def expand(config: ExpansionConfig, output: str, dry_run: bool = False) -> ExpansionSummary | None:
    """The whole job. Returns the summary; None after a dry run.

    Raises:
        ConfigError, CatalogError: of settings, catalogue or bank.
        NoAnswer: the model answers nothing; what it answered before is kept.
        RunMismatch, LeaseHeld, DamagedFile, OSError: of the directory.
    """
    refuse_relative_output(output)
    catalog, quotas = load_catalog(config.catalog), cells_of(config)
    check_classes(quotas, catalog)
    bank = read_prompt_bank(config.bank, config.output.endpoint_url) if config.bank else ()
    known = known_rows(quotas, catalog, bank)
    _announce(config, quotas, known)
    if dry_run:
        _show_question(config, catalog, quotas, known)
        return None
    BACKENDS[config.backend].check(config)
    storage = open_storage(output, config.output.endpoint_url)
    inputs = json.dumps([catalog.digest, sorted(known.items())])
    claim(storage, ExpansionHeader(config=config, inputs_sha256=hashlib.sha256(inputs.encode()).hexdigest()))
    with at_work(storage, say, lambda: "what was answered stays", config.output.lease_s) as lease:
        return _Expansion(config, catalog, known, storage, lease).run(quotas)


class _Expansion:
    """An expansion that has claimed its directory."""

    def __init__(self, config: ExpansionConfig, catalog: Catalog, known: Known, storage: Storage, lease: Lease) -> None:
        self._config, self._catalog, self._known = config, catalog, known
        self._storage, self._lease = storage, lease

    def run(self, quotas: Mapping[Cell, int]) -> ExpansionSummary:
        """Asks until the quotas are full or the rounds are over; writes the ledger, the bank and last the summary."""
        config, filters = self._config, self._filters()
        sieve, ledger, kept = Sieve(quotas, self._known, config.max_similarity, filters), Ledger(), []
        ended: Counter[str | None] = Counter()
        rounds = num_asks = 0
        for number in range(config.max_rounds):
            lacking, yields = sieve.lacking(), sieve.yields()
            asks = list(plan_round(config, self._catalog, self._known, lacking, yields, number))
            if not asks:
                break
            rounds, num_asks = number + 1, num_asks + len(asks)
            self._ask(number, asks)
            proposals: list[Proposal] = []
            for ask, answered in zip(asks, read_answers(self._storage, number, asks[-1].shard + 1), strict=True):
                found = sieve.take(ask.name, ask.cell, answered.text, answered.error)
                proposals += found
                kept += [self._row(each, answered, filters) for each in found if each.reason is None]
            ledger.add(proposals)
            ended.update(each.reason for each in proposals)
            say(f"round {number + 1}: {len(kept)} of {sum(quotas.values())} rows")
        self._storage.put(LEDGER, ledger.close())
        write_prompt_bank(self._storage.path_for(BANK), kept, config.output.endpoint_url)
        summary = ExpansionSummary(
            model=_name(config),
            rounds=rounds,
            asks=num_asks,
            proposals=sum(ended.values()),
            kept=len(kept),
            dropped={reason: ended[reason] for reason in REASONS if ended[reason]},
            lacking={_words(cell): number for cell, number in sieve.lacking().items()},
        )
        write(self._storage, SUMMARY, summary)
        _say(summary, self._storage)
        return summary

    def _filters(self) -> dict[str, Filter]:
        from toffee_pipeline.models.prompts import count_tokens, room_for_a_change  # seconds
        from toffee_pipeline.models.tokenizers import clip_tokenizer

        tokenizer = clip_tokenizer()

        def count(text: str) -> int:
            return count_tokens(tokenizer, [text])[0] - 2

        return filters_of(self._known, self._config, count, room_for_a_change(self._catalog, tokenizer))

    def _ask(self, number: int, asks: Sequence[Ask]) -> None:
        """Asks what of a round is not answered yet, and commits each shard when it is whole."""
        missing = missing_shards(self._storage, number, asks[-1].shard + 1)
        open_asks = [ask for ask in asks if ask.shard in missing]
        if not open_asks:
            return
        sizes = Counter(ask.shard for ask in open_asks)
        shards: dict[int, list[Answered]] = {shard: [] for shard in sizes}
        done, any_text = len(asks) - len(open_asks), False
        for shard, answered in answer(self._config, open_asks):
            shards[shard].append(answered)
            any_text |= answered.text is not None
            if len(shards[shard]) < sizes[shard]:
                continue
            if not any_text:  # whoever is gone, or lets nobody in, should not use up the rounds
                raise NoAnswer(f"{_name(self._config)} answers none of {sizes[shard]} questions: {answered.error}")
            put_answers(self._storage, number, shard, shards.pop(shard))
            self._lease.check()
            done += sizes[shard]
            say(f"round {number + 1}: {done} of {len(asks)} questions answered")

    def _row(self, proposal: Proposal, answered: Answered, filters: Mapping[str, Filter]) -> PromptRow:
        category, applies_to = proposal.cell
        return PromptRow(
            category=category,
            applies_to=(applies_to,),
            change=proposal.text,
            source=f"{_name(self._config)}@{answered.revision or 'unknown'}",
            license=self._config.license,
            verdicts=dict.fromkeys((*filters, "near_duplicate"), "passed"),
        )


def _name(config: ExpansionConfig) -> str:
    return config.model.id or (config.model.path.name if config.model.path else "")


def _words(cell: Cell) -> str:
    return f"{cell.category} of {cell.applies_to}"


def _announce(config: ExpansionConfig, quotas: Mapping[Cell, int], known: Known) -> None:
    say(f"{sum(quotas.values())} rows wanted of {_name(config)} by {config.backend}")
    for cell, number in quotas.items():
        say(f"  {_words(cell)}: {number}, beside {len(known[cell])} that are there")


def _show_question(config: ExpansionConfig, catalog: Catalog, quotas: Mapping[Cell, int], known: Known) -> None:
    asks = list(plan_round(config, catalog, known, quotas, {}, 0))
    say(f"{len(asks)} questions in the first round, at most {config.max_rounds} rounds; the first one:")
    for message in asks[0].messages:
        for line in f"{message['role']}: {message['content']}".splitlines():
            say(line)


def _say(summary: ExpansionSummary, storage: Storage) -> None:
    say(f"{summary.proposals} proposals = {summary.kept} kept + {sum(summary.dropped.values())} dropped")
    for reason, number in summary.dropped.items():
        say(f"  {number} {reason}: {REASONS[reason]}")
    for cell, number in summary.lacking.items():
        say(f"  {cell}: {number} rows below the quota after {summary.rounds} rounds", err=True)
    say(f"bank: {storage.path_for(BANK)}")
    say(f"ledger: {storage.path_for(LEDGER)}")
