"""Reference phases: ideal crystals by name, of the atoms to classify."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from itertools import combinations
from types import MappingProxyType
from typing import Any

import ase
import numpy as np
import numpy.typing as npt
import xarray as xr

from icedask.core.provenance import digest
from icedask.core.trajectory import center_indices, check_elements
from icedask.core.types import FloatArray
from icedask.errors import InputError
from icedask.kernels.neighbors import neighbor_list, wrap
from icedask.phases.checks import RESERVED, atoms_of_element
from icedask.readers.convert import from_ase

# Made by icedask/data/make_ice_phases.py.
SHIPPED = "ice_phases.json"
ICES = ("Ih", "Ic", "II", "III", "VI", "VII", "sI")

_TOO_CLOSE = 0.5
_SAME_CRYSTAL = 1e-3
_SAME_VOLUME = 1.03
# Decimals of fractions and of angstrom: rounding errors of wrapping are far below.
_DECIMALS = 8


class Phases:
    """Ideal crystals by name, the references for atoms of a simulation; immutable.

    They hold the atoms to classify and no others: of water, the oxygens. Make them with
    `Phases.named`, `Phases.ices`, `Phases.metals` or `Phases.from_structures`. Two are equal if
    they have the same names in the same order, cells and positions.

    Attributes
    ----------
    names : tuple of str
        Names in the order of the numbers in labels.
    element : str
        Chemical symbol of all atoms.
    digest : str
        Digest of names, cells and positions; atoms may be in any periodic image.

    Examples
    --------
    >>> import icedask as ice
    >>> phases = ice.Phases.named("Ih", "Ic", "sI")
    >>> phases
    <Phases of O: Ih (16), Ic (8), sI (46)>
    >>> len(phases), "Ic" in phases
    (3, True)
    """

    names: tuple[str, ...]
    element: str
    digest: str

    def __init__(self, structures: Mapping[str, ase.Atoms]) -> None:
        _check_names(structures)
        self._structures = {name: _checked(name, atoms) for name, atoms in structures.items()}
        self.names = tuple(structures)
        self.element = _one_element(self._structures)
        _check_different(self._structures)
        self.digest = digest(
            list(self.names), self.element, *[_place(atoms) for atoms in self._structures.values()]
        )

    @classmethod
    def from_structures(cls, structures: Mapping[str, ase.Atoms]) -> Phases:
        """Make phases from crystals.

        Parameters
        ----------
        structures : mapping of str to ase.Atoms
            Crystals by name, one unit cell or more, angstrom; periodic along all three cell
            vectors, which may have any angles and are right-handed. All atoms are of one element:
            of molecules, only the atoms to classify.

        Raises
        ------
        InputError
            If there is none; a name is not one word, "liquid" or "unknown"; a structure is not a
            crystal of one element, or has atoms closer than 0.5 angstrom; or two are the same by
            their average SOAP vectors, a rough test: phases that differ in the order of protons
            alone are the same here.

        Examples
        --------
        >>> import icedask as ice
        >>> from ase.build import bulk
        >>> ice.Phases.from_structures({"diamond": bulk("C"), "fcc": bulk("C", "fcc", a=3.0)})
        <Phases of C: diamond (2), fcc (1)>
        """
        return cls(structures)

    @classmethod
    def named(cls, *names: str) -> Phases:
        """Return ices that come with the package, one unit cell of oxygens of each.

        Parameters
        ----------
        *names : str
            "Ih", "Ic", "II", "III", "IV", "V", "VI", "VII", "XII", "XVII", or the empty
            clathrates "sI", "sII" and "sH".

        Raises
        ------
        InputError
            If there is no such ice, or one is named twice.
        """
        shipped = _shipped()
        for name in names:
            if name not in shipped:
                raise InputError(
                    f"Phases.named: expected names among {', '.join(shipped)}, found {name!r}; "
                    "make others of your own structures with Phases.from_structures"
                )
        if len(set(names)) < len(names):
            raise InputError(f"Phases.named: expected each name once, found {', '.join(names)}")
        return cls({name: shipped[name] for name in names})

    @classmethod
    def ices(cls) -> Phases:
        """Return Ih, Ic, II, III, VI, VII and the empty clathrate sI."""
        return cls.named(*ICES)

    @classmethod
    def metals(cls, distance: float = 2.556, element: str = "Cu") -> Phases:
        """Return close-packed crystals and the body-centred one: fcc, hcp, bcc.

        Parameters
        ----------
        distance : float, optional
            Between nearest neighbours in fcc and hcp, angstrom; bcc has their atomic volume.
            Default 2.556, that of copper.
        element : str, optional
            Chemical symbol of the atoms. Default "Cu".

        Raises
        ------
        InputError
            If the distance is below 0.5 angstrom, or there is no such element.
        """
        from ase.build import bulk
        from ase.data import atomic_numbers

        if not np.isfinite(distance) or distance < _TOO_CLOSE:
            raise InputError(
                f"Phases.metals: distance: expected at least {_TOO_CLOSE} angstrom, "
                f"found {distance}"
            )
        if element not in atomic_numbers:
            raise InputError(
                f"Phases.metals: element: expected a chemical symbol, found {element!r}"
            )
        return cls(
            {
                "fcc": bulk(element, "fcc", a=distance * 2 ** (1 / 2)),
                "hcp": bulk(element, "hcp", a=distance, c=distance * (8 / 3) ** (1 / 2)),
                "bcc": bulk(element, "bcc", a=distance * 2 ** (1 / 6)),
            }
        )

    def scale_to(self, trj: xr.Dataset, centers: str | None = None) -> float:
        """Return the factor on lengths that gives references the volume per atom of `trj`.

        For references that differ in structure but not in density, as those of metals: it removes
        the effect of thermal expansion and pressure.

        Parameters
        ----------
        trj : xarray.Dataset
            A trajectory of bulk matter; the mean over its frames is taken.
        centers : str, optional
            As for `atoms_of`.

        Raises
        ------
        InputError
            If the trajectory is not periodic along all three cell vectors, or volumes of an atom
            in the references differ by more than 3 %.
        """
        own = [crystal.get_volume() / len(crystal) for crystal in self._structures.values()]
        if max(own) > _SAME_VOLUME * min(own):
            raise InputError(
                "Phases: expected references with the same volume for each atom, to scale them by "
                f"it; found {min(own):.3g} to {max(own):.3g} cubic angstrom"
            )
        if not trj["pbc"].values.all():
            raise InputError(
                "Phases: expected a trajectory that is periodic along all three cell vectors, to "
                f"scale by its volume, found pbc {trj['pbc'].values.tolist()}"
            )
        n_atoms = len(self.atoms_of(trj, centers, "Phases"))
        volume = float(np.linalg.det(trj["cell"].values).mean()) / n_atoms
        return float(np.cbrt(volume / np.mean(own)))

    def scaled(self, factor: float, element: str | None = None) -> Phases:
        """Return the same crystals with scaled lengths, of another element if that is given.

        Parameters
        ----------
        factor : float
            Factor on all lengths.
        element : str, optional
            Chemical symbol; as before by default.

        Raises
        ------
        InputError
            If the factor is not positive, there is no such element, or atoms come too close.
        """
        if not 0 < factor < np.inf:
            raise InputError(f"Phases: scale: expected a positive factor, found {factor}")
        check_elements(np.array([element or self.element]))
        structures = dict(self.structures)
        for crystal in structures.values():
            crystal.set_cell(factor * crystal.cell, scale_atoms=True)
            crystal.symbols[:] = element or self.element
        return Phases(structures)

    @property
    def structures(self) -> Mapping[str, ase.Atoms]:
        """Copies of the crystals by name, atoms wrapped into the cell."""
        return MappingProxyType(
            {name: crystal.copy() for name, crystal in self._structures.items()}
        )

    def atoms_of(self, trj: xr.Dataset, centers: str | None, caller: str) -> npt.NDArray[np.int64]:
        """Return the indices of the atoms of the phases' element, or of a selection.

        Parameters
        ----------
        trj : xarray.Dataset
            A trajectory.
        centers : str, optional
            Selection of other atoms in their place.
        caller : str
            Name of the function, for the error.

        Raises
        ------
        InputError
            If there are no such atoms.
        """
        if centers is not None:
            return center_indices(trj, centers)
        return atoms_of_element(trj, self.element, caller)

    def __len__(self) -> int:
        return len(self.names)

    def __contains__(self, name: object) -> bool:
        return name in self.names

    def __eq__(self, other: object) -> bool:
        return self.digest == other.digest if isinstance(other, Phases) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.digest)

    def __repr__(self) -> str:
        listed = ", ".join(f"{name} ({len(crystal)})" for name, crystal in self._structures.items())
        return f"<Phases of {self.element}: {listed}>"


def check_phases(phases: object, caller: str) -> None:
    """Raise InputError unless an argument is Phases."""
    if not isinstance(phases, Phases):
        raise InputError(
            f"{caller}: expected Phases, found {type(phases).__name__}; for example "
            "Phases.ices(), or Phases.from_structures({'fcc': atoms})"
        )


@cache
def _shipped() -> Mapping[str, ase.Atoms]:
    """Return the ices in the package; not to be changed."""
    text = (files("icedask") / "data" / SHIPPED).read_text(encoding="utf-8")
    return MappingProxyType(
        {
            name: ase.Atoms(
                f"O{len(entry['fractions'])}",
                scaled_positions=entry["fractions"],
                cell=entry["cell"],
                pbc=True,
                info={"origin": entry["origin"]},
            )
            for name, entry in json.loads(text).items()
        }
    )


def _check_names(structures: Any) -> None:
    if not isinstance(structures, Mapping) or not structures:
        kind = "none" if isinstance(structures, Mapping) else type(structures).__name__
        raise InputError(
            f"Phases: expected structures by name, for example {{'fcc': atoms}}, found {kind}"
        )
    for name in structures:
        # Labels list them in flag_meanings, separated by blanks.
        if not isinstance(name, str) or name.split() != [name]:
            raise InputError(f"Phases: expected names of one word, found {name!r}")
        if name in RESERVED:
            raise InputError(
                f"Phases: the name {name!r} is kept for atoms of none of the phases; choose "
                "another one"
            )


def _checked(name: str, atoms: Any) -> ase.Atoms:
    """Return the bare crystal with its atoms in the cell, after the checks."""
    if not isinstance(atoms, ase.Atoms) or not len(atoms):
        raise InputError(
            f"Phases: {name}: expected ase.Atoms, at least one atom, found "
            f"{'no atom' if isinstance(atoms, ase.Atoms) else type(atoms).__name__}"
        )
    if not atoms.pbc.all():
        raise InputError(
            f"Phases: {name}: expected a crystal, periodic along all three cell vectors, found "
            f"pbc {atoms.pbc.tolist()}; set atoms.pbc = True if it is one"
        )
    cell = atoms.cell.array
    if not np.isfinite(cell).all() or not np.isfinite(atoms.positions).all():
        raise InputError(f"Phases: {name}: expected a cell and positions that are finite numbers")
    volume = float(np.linalg.det(cell))
    if abs(volume) < 1e-6:
        raise InputError(f"Phases: {name}: expected a cell with a volume, found {cell.tolist()}")
    if volume < 0:
        raise InputError(
            f"Phases: {name}: expected right-handed cell vectors, found left-handed ones; "
            "exchange two: atoms.set_cell(atoms.cell[[1, 0, 2]])"
        )
    near = neighbor_list(atoms.positions, cell, atoms.pbc, _TOO_CLOSE)
    if len(near.distances):
        pair = f"{near.rows[0]} and {near.indices[0]}"
        raise InputError(
            f"Phases: {name}: expected atoms at least {_TOO_CLOSE} angstrom apart, found "
            f"{near.distances[0]:.3g} between {pair} or their images; remove atoms that are twice "
            "in the cell"
        )
    positions, _ = wrap(atoms.positions, cell, atoms.pbc)
    info = {"origin": atoms.info["origin"]} if "origin" in atoms.info else None
    return ase.Atoms(numbers=atoms.numbers, positions=positions, cell=cell, pbc=True, info=info)


def _one_element(structures: Mapping[str, ase.Atoms]) -> str:
    elements = sorted({symbol for crystal in structures.values() for symbol in crystal.symbols})
    if len(elements) > 1:
        keep = "O" if elements == ["H", "O"] else elements[-1]
        raise InputError(
            f"Phases: expected atoms of one element, found {', '.join(elements)}; keep the atoms "
            f"that are classified, for example atoms[atoms.symbols == '{keep}']"
        )
    return str(elements[0])


def _check_different(structures: Mapping[str, ase.Atoms]) -> None:
    from icedask.descriptors.soap import soap

    means = {}
    for name, atoms in structures.items():
        # Broader Gaussians hardly distinguish the close-packed metals.
        described = soap(from_ase(atoms), sigma=0.5, l_max=6, dtype="float64")["soap"]
        means[name] = described.compute(scheduler="sync").values.mean(axis=(0, 1))
    for first, second in combinations(means, 2):
        apart = np.linalg.norm(means[first] - means[second])
        if apart < _SAME_CRYSTAL * np.linalg.norm(means[first]):
            raise InputError(
                f"Phases: {first} and {second} are the same crystal, by their average SOAP "
                "vectors; keep one of them"
            )


def _place(atoms: ase.Atoms) -> FloatArray:
    """Return cell vectors and fractions, rounded, of atoms in any periodic image."""
    fractions = np.round(atoms.positions @ np.linalg.inv(atoms.cell.array), _DECIMALS) % 1.0
    # Adding zero makes no zero negative: its bytes would differ.
    return np.concatenate([np.round(atoms.cell.array, _DECIMALS), fractions]) + 0.0
