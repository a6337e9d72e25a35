"""Statistics of the norms as scans that are to be labelled give them.

Training measures means and variances on scans that are mixed, thinned and shifted, and while the weights still move. A
network whose first norms see the coordinates of single points then labels scans as they are much worse than it could:
a Cylinder3D 0.5x has 57.4 % mean IoU with the statistics of its training, and 63.6 with those of 24 plain scans.
"""

from collections.abc import Iterator

import torch

from pvd_core.borders.wording import counted
from pvd_core.models.adapted_statistics import estimate_statistics, norms_of
from pvd_core.models.bare_statistics import statistics_of, with_statistics
from pvd_core.models.network import Network
from training.run.session import Session

_NUM_SCANS = 24


def with_plain_norms(model: Network, session: Session) -> Network:
    """`model` with statistics of as many plain training scans as `norm_scans` asks for. It shares the parameters of
    `model`, whose own statistics stay."""
    wanted = session.config.norm_scans
    if wanted is None:
        wanted = _NUM_SCANS if model.point_branch else 0
    positions = _positions(session, wanted)
    if not positions:
        return model
    if len(positions) < wanted:
        few = counted(len(positions), "training scan")
        session.progress.note(f"the norms are measured on {few} as they are; {wanted} were better, or norm_scans=0")
    try:
        found, _ = estimate_statistics(model, _plain_scans(session, positions), norms_of(model, "all"))
    except ValueError as error:
        session.progress.note(f"warning: the norms keep the statistics that training left: on plain scans {error}")
        return model
    return with_statistics(model, {**statistics_of(model), **found})


def _positions(session: Session, num_wanted: int) -> range:
    """Of different scans in the stream: the first of this epoch. Worlds have no epoch: there it is those of the next
    steps, which are simulated anyway."""
    num_scans = session.data.training.num_scans()
    next_position = session.state.step * session.config.accumulate * session.config.batch_size
    if num_scans is None:
        return range(next_position, next_position + num_wanted)
    first = next_position - next_position % num_scans
    return range(first, first + min(num_wanted, num_scans))


def _plain_scans(session: Session, positions: range) -> Iterator[torch.Tensor]:
    for number, position in enumerate(positions, start=1):
        example = session.data.training.scan(position)
        if session.config.multi_to_single is not None:
            example = example.chosen(example.is_current)  # the others are there for the enriched pass alone
        session.progress.measuring_norms(number, len(positions))
        yield torch.from_numpy(example.points).to(session.fabric.device)
