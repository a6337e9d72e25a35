"""Processes that label: each starts in milliseconds instead of the seconds that importing torch takes."""

import multiprocessing
from multiprocessing.context import ForkServerContext


def labelling_processes() -> ForkServerContext:
    """A multiprocessing context whose processes are forked from a server that has imported the Segmenter. The server
    starts with the first of them."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["pvd_core.segmenter"])
    return context
