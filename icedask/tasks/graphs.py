"""Waves of tasks: parts of a large Dask graph, each built at the cost of the part.

A graph of 10^6 tasks takes minutes and gigabytes to build, send and hold. Blockwise layers are
materialised for the blocks of one wave only.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import count, islice
from typing import Any, NamedTuple
from uuid import uuid4

import dask.array as da
import numpy.typing as npt
from dask._task_spec import (
    DataNode,
    GraphNode,
    Task,
    TaskRef,
    convert_legacy_graph,
    resolve_aliases,
)
from dask.blockwise import Blockwise, fuse_roots, optimize_blockwise
from dask.core import reverse_dict
from dask.delayed import Delayed
from dask.highlevelgraph import HighLevelGraph

# Enough to keep about a thousand cores in work while the next is built, and built in a second.
WAVE_TASKS = 4096
# Of a value that travels with each task that needs it.
SMALL_BYTES = 2048

Key = Any


class Wave(NamedTuple):
    """A graph, the keys that count as progress, and the keys whose (small) values are returned."""

    graph: Mapping[Key, Any]
    tasks: Sequence[Key]
    results: Sequence[Key] = ()


class LazyGraph:
    """The merged graph of several lazy arrays."""

    def __init__(self, arrays: Sequence[da.Array]) -> None:
        graph = HighLevelGraph.merge(*[array.dask for array in arrays])
        # Only the names of the layers matter here.
        keys = [(array.name, *(0 for _ in array.shape)) for array in arrays]
        graph = fuse_roots(optimize_blockwise(graph, keys=keys), keys=keys)
        layers = [graph.layers[name] for name in reversed(graph._toposort_layers())]
        self._rules = {layer.output: layer for layer in layers if isinstance(layer, Blockwise)}
        # Layers come after those that need them; the others are walked task by task.
        self._layers = layers
        self._written = [dict(layer) for layer in layers if not isinstance(layer, Blockwise)]

    def __contains__(self, key: object) -> bool:
        """Return whether there is a task with this key."""
        name = key[0] if isinstance(key, tuple) and key else key
        try:
            return name in self._rules or any(key in layer for layer in self._written)
        except TypeError:  # not a key
            return False

    def part(self, keys: Iterable[Key]) -> dict[Key, GraphNode]:
        """Return the tasks that `keys` need."""
        wanted, nodes = set(keys), dict[Key, GraphNode]()
        written = iter(self._written)
        for layer in self._layers:
            if isinstance(layer, Blockwise):
                new = self._blockwise_nodes(layer, wanted)
            else:
                new = self._written_nodes(next(written), wanted)
            nodes |= new
            for node in new.values():
                wanted |= node.dependencies
            wanted.difference_update(new)
        return nodes

    def _blockwise_nodes(self, layer: Blockwise, wanted: set[Key]) -> dict[Key, GraphNode]:
        mine = {key for key in wanted if isinstance(key, tuple) and key[0] == layer.output}
        # The second argument matters to layers written in the old form of tasks only.
        return dict(layer.cull(mine, ())[0]) if mine else {}

    def _written_nodes(
        self, layer: Mapping[Key, Any], wanted: Collection[Key]
    ) -> dict[Key, GraphNode]:
        nodes: dict[Key, GraphNode] = {}
        work = [key for key in wanted if key in layer]
        while work:
            key = work.pop()
            if key in nodes:
                continue
            node = layer[key]
            if not isinstance(node, GraphNode):
                node = convert_legacy_graph({key: node}, self).get(key)
            if node is None:  # the future of a persisted block, which the scheduler knows
                continue
            nodes[key] = node
            work += [other for other in node.dependencies if other in layer]
        return nodes


def block_key(array: da.Array, index: Sequence[int]) -> Key:
    """Return the key of a block, of index 0 along the dimensions that `index` leaves out."""
    return (array.name, *index, *(0 for _ in range(array.ndim - len(index))))


def cut(
    blocks: npt.NDArray[Any], keys_of: Callable[[Any], list[Key]], graph: LazyGraph
) -> Iterator[npt.NDArray[Any]]:
    """Cut blocks, rows of an array, into waves, in their order.

    `keys_of` returns the keys in `graph` that the task of a row needs. There is a single wave where
    the first and the last one would share most of their tasks, as those of a mean over all blocks.
    """
    if len(blocks) > WAVE_TASKS:
        first, last = (
            graph.part([key for block in wave for key in keys_of(block)])
            for wave in (blocks[:WAVE_TASKS], blocks[-WAVE_TASKS:])
        )
        steps = [key for key, node in first.items() if node.dependencies]
        if 2 * sum(key in last for key in steps) > len(steps) > 0:
            yield blocks
            return
    for start in range(0, len(blocks), WAVE_TASKS):
        yield blocks[start : start + WAVE_TASKS]


class Waves:
    """Builder of waves: optimised parts of a graph, under keys unique to one computation."""

    def __init__(self, graph: LazyGraph) -> None:
        self._graph = graph
        self._token = uuid4().hex[:12]
        self._number = 0

    def wave(self, needed: Iterable[Key], tasks: Sequence[Task], *, values: bool = False) -> Wave:
        """Return the wave of `tasks` and the keys they need, with their values as results."""
        keys = [task.key for task in tasks]
        return self._optimized(needed, tasks, keys, keys if values else ())

    def reduced(
        self, groups: Sequence[Sequence[Key]], merge: Callable[..., Any], fan_in: int
    ) -> Wave:
        """Return the wave that merges each group of keys, `fan_in` at a time, to one result."""
        steps, results = list[Task](), list[Key]()
        for level in groups:
            while len(level) > 1:
                cuts = [level[start : start + fan_in] for start in range(0, len(level), fan_in)]
                first = len(steps)
                for number, part in enumerate(cuts, first):
                    steps.append(Task(("merge", number), merge, *map(TaskRef, part)))
                level = [task.key for task in steps[first:]]
            results += level
        keys = [key for level in groups for key in level]
        return self._optimized(keys, steps, keys, results)

    def _optimized(
        self,
        needed: Iterable[Key],
        added: Sequence[Task],
        tasks: Sequence[Key],
        results: Sequence[Key],
    ) -> Wave:
        self._number += 1
        graph: dict[Key, Any] = self._graph.part(needed)
        graph |= {task.key: task for task in added}
        keys = [*tasks, *results]
        graph = dict(da.optimization.optimize(graph, keys))
        dependents = reverse_dict({key: node.dependencies for key, node in graph.items()})
        graph = _with_small_values(resolve_aliases(graph, set(keys), dependents))
        # What is fused with what depends on the wave: steps of the same name may differ.
        suffix = f"{self._token}-{self._number}"
        new = {key: _renamed(key, suffix) for key, node in graph.items() if node.dependencies}
        new |= {key: _renamed(key, suffix) for key in keys}
        named = [node.substitute(new, key=new.get(key, key)) for key, node in graph.items()]
        return Wave(
            {node.key: node for node in named},
            [new[key] for key in tasks],
            [new[key] for key in results],
        )


def _with_small_values(graph: Mapping[Key, GraphNode]) -> dict[Key, GraphNode]:
    """Put small arrays into the tasks that need them: each would be a task for the scheduler."""
    small: dict[Key, Any] = {
        key: node
        for key, node in graph.items()
        if isinstance(node, DataNode) and getattr(node.value, "nbytes", math.inf) <= SMALL_BYTES
    }
    return {
        key: node.substitute(small) if node.dependencies & small.keys() else node
        for key, node in graph.items()
        if key not in small
    }


def _renamed(key: Key, suffix: str) -> Key:
    if isinstance(key, tuple):
        return (f"{key[0]}-{suffix}", *key[1:])
    return f"{key}-{suffix}"


def task_waves(
    graph: LazyGraph,
    blocks: npt.NDArray[Any],
    keys_of: Callable[[Any], list[Key]],
    task_of: Callable[[Any, int], Task],
    *,
    values: bool = False,
) -> Iterator[Wave]:
    """Yield the waves of one task for each block; arguments as of `cut`.

    `task_of` returns the task of a row of `blocks` and its number. With `values`, these are
    results.
    """
    waves, numbers = Waves(graph), count()
    for rows in cut(blocks, keys_of, graph):
        tasks = [task_of(row, number) for row, number in zip(rows, numbers, strict=False)]
        yield waves.wave([key for row in rows for key in keys_of(row)], tasks, values=values)


def delayed_waves(tasks: Iterable[Delayed], *, values: bool = False) -> Iterator[Wave]:
    """Yield the waves of independent tasks, with their values as results."""
    rest = iter(tasks)
    while part := list(islice(rest, WAVE_TASKS)):
        graph = dict(HighLevelGraph.merge(*[task.dask for task in part]))
        keys = [task.key for task in part]
        yield Wave(graph, keys, keys if values else ())
