"""Random generators of the distillation terms: what is drawn depends on the seed and the batch alone."""

import numpy as np
import torch

# Keep what is drawn for different purposes apart, and apart from the other uses of the seed.
METHOD, MULTI_TO_SINGLE = 2, 4


def generator_for(use: int, seed: int, batch_number: int, *scan: int) -> torch.Generator:
    """Source of what is drawn for a purpose (METHOD or MULTI_TO_SINGLE) for a batch or, with `scan`, for one scan by
    its number in the batch; on the CPU. A resumed run, or one with another number of ranks, draws the same."""
    (state,) = np.random.SeedSequence((seed, use, batch_number, *scan)).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(state >> np.uint64(1)))
