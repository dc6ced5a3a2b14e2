"""What a dry run prints of the costs of its plan."""

from __future__ import annotations

from toffee_pipeline.console.clock import clock
from toffee_pipeline.console.columns import print_columns
from toffee_pipeline.console.stdout import Stdout
from toffee_pipeline.plan.costs import PUBLISHED, CostPlan, paper_drawing_hours

MILLION = 1_000_000
MAX_NAMED = 5


def print_costs(plan: CostPlan) -> None:
    """Per stage, for this plan and for a million accepted pairs, beside what others say of theirs."""
    console = Stdout()
    rates = f"pass rates of {plan.rates_of}" if plan.rates_of else "no pass rates are known: as if every pair passed"
    console.out(f"costs: stages measured on {plan.device}; {rates}")
    if plan.differs:
        more = f" and {len(plan.differs) - MAX_NAMED} more" if len(plan.differs) > MAX_NAMED else ""
        console.out(f"  measured under other settings than these: {', '.join(plan.differs[:MAX_NAMED])}{more}")
    header = ["stage", "seconds per pair there", "pass rate", "seconds per accepted", "GPU seconds per accepted"]
    rows = [
        [
            stage.name,
            f"{stage.seconds:.3f}",
            f"{stage.pass_rate:.1%}",
            f"{stage.seconds_per_accepted:.3f}",
            f"{stage.gpu_seconds_per_accepted:.3f}",
        ]
        for stage in plan.stages
    ]
    total = ["all", "", f"{plan.acceptance:.1%}", f"{plan.seconds_per_accepted:.3f}"]
    print_columns(console, header, [*rows, [*total, f"{plan.gpu_seconds_per_accepted:.3f}"]])
    print_columns(
        console,
        ["", "this plan", "a million accepted"],
        [
            [name, *(text.format(each * number) for number in (plan.num_accepted, float(MILLION)))]
            for name, each, text in _figures(plan)
        ],
    )
    for cluster, seconds in plan.wall_s.items():
        console.out(f"this plan on {cluster}: {clock(seconds)} of computing, without start-up and the last shards")
    if plan.is_banked:
        console.out("without its subject bank, which was paid for by itself")
    if plan.bytes_are_reckoned:
        console.out("storage is reckoned from photographs: no run tells it")
    _print_others(plan, console)


def _figures(plan: CostPlan) -> list[tuple[str, float, str]]:
    """Name, amount per accepted pair, format."""
    gpu_hours = plan.gpu_seconds_per_accepted / 3600
    figures = [
        ("pairs planned", 1 / plan.acceptance, "{:,.0f}"),
        ("pairs accepted", 1.0, "{:,.0f}"),
        ("hours of computing", plan.seconds_per_accepted / 3600, "{:,.1f}"),
        ("GPU hours", gpu_hours, "{:,.1f}"),
    ]
    if plan.price_per_gpu_hour:
        figures.append(("money (price_per_gpu_hour)", gpu_hours * plan.price_per_gpu_hour, "{:,.0f}"))
    return [*figures, ("storage, GB", plan.bytes_per_accepted / 1e9, "{:,.3g}")]


def _print_others(plan: CostPlan, console: Stdout) -> None:
    """What others say for as many subjects. How the pairs are drawn is in ours alone."""
    console.out(f"beside others, for {plan.num_subjects:,} subjects; theirs is without drawing the pairs:")
    for other in PUBLISHED:
        if other.once:
            console.out(
                f"  {other.name}: at most {other.once:,.0f} {other.unit} of training, once, however many subjects"
            )
        else:
            hours = other.per_million_subjects * plan.num_subjects / MILLION
            console.out(f"  {other.name}: about {hours:,.1f} {other.unit} of tuning on each subject")
    drawing = paper_drawing_hours(plan.num_pairs)
    console.out(
        f"    and about {drawing:,.1f} A100 hours (reckoned) to draw {plan.num_pairs:,} pairs at 100 steps of DDIM"
    )
    hours, device = plan.gpu_seconds_per_accepted * plan.num_accepted / 3600, "GPU hours"
    if not hours:
        hours, device = plan.seconds_per_accepted * plan.num_accepted / 3600, "hours without a GPU"
    console.out(f"  this plan: {hours:,.1f} {device} of drawing, rejected pairs included; training is as the paper's")
