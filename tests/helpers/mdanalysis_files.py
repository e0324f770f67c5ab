"""The files of MDAnalysis' test suite, with the options that a user of icedask gives for each."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from MDAnalysisTests import datafiles

import icedask as ice


@dataclass(frozen=True)
class Case:
    """A file by its name in `datafiles`, its topology and options, and whether it is read.

    Attributes
    ----------
    name, topology
        Names in `MDAnalysisTests.datafiles`.
    options
        Those of `icedask.ingest`; elements by the first letter of the name, where nothing is said.
    refused
        What the error says, where a file is rightly refused.
    """

    name: str
    topology: str | None = None
    options: dict[str, Any] = field(default_factory=dict)
    refused: str = ""
    package: str = ""
    # Options of MDAnalysis' Universe; what of it is compared.
    universe: dict[str, Any] = field(default_factory=dict)
    compared: bool = True
    timed: bool = True
    more_frames: bool = False
    relative: bool = False

    @property
    def path(self) -> Path:
        return Path(getattr(datafiles, self.name))

    @property
    def topology_path(self) -> Path | None:
        return None if self.topology is None else Path(getattr(datafiles, self.topology))


_DUMP = {"units": "real", "timestep": 1.0}
_STEP = {"frame_interval": 1.0}
_LJ = {"units": "lj", "lj_sigma": 1.0, "lj_epsilon": 1.0, "lj_tau": 1.0}
_FULL = {"units": "real", "pbc": (True, True, True), "atom_style": "full"}
_ATOMIC = {**_FULL, "atom_style": "atomic"}

_VACUUM = {"pbc": (False, False, False)}
_AS_DUMP: dict[str, Any] = {
    "universe": {"format": "LAMMPSDUMP", "topology_format": "LAMMPSDUMP"},
    "timed": False,
    "relative": True,
}
_AS_CONFIG = {"format": "CONFIG", "topology_format": "CONFIG"}
_AS_HISTORY = {"format": "HISTORY", "topology_format": "HISTORY"}

CASES = [
    # GROMACS
    Case("XTC", "TPR", {"elements": {"MW": "X"}}),
    Case("XTC", "GRO"),
    Case("TRR", "TPR", {"elements": {"MW": "X"}}),
    Case("XTC_sub_sol", "PDB_sub_sol"),
    Case("TRR_sub_sol", "TPR_xvf"),
    Case("XTC_MEMPROT", "GRO_MEMPROT"),
    Case("AUX_EDR_XTC", "AUX_EDR_TPR"),
    Case("COORDINATES_XTC", "COORDINATES_TOPOLOGY"),
    Case("COORDINATES_TRR", "COORDINATES_TOPOLOGY"),
    Case("RANDOM_WALK", "RANDOM_WALK_TOPO"),
    Case("SURFACE_TRR", "SURFACE_PDB"),
    Case("XTC_multi_frame", None, refused="topology"),
    Case("TRR_multi_frame", None, refused="topology"),
    Case("GRO"),
    Case("GRO_velocity"),
    Case("GRO_large"),
    Case("GRO_MEMPROT"),
    Case("GRO_huge_box"),
    Case("GRO_incomplete_vels", refused="numbers of"),
    Case("COORDINATES_GRO"),
    Case("COORDINATES_GRO_BZ2"),
    Case("COORDINATES_GRO_INCOMPLETE_VELOCITY", refused="numbers of"),
    Case("two_water_gro"),
    Case("two_water_gro_multiframe", more_frames=True),
    Case("two_water_gro_nonames", options={"elements": "O"}),
    Case("two_water_gro_widebox"),
    Case("GRO_empty_atom", refused="."),
    Case("GRO_missing_atomname", refused="."),
    Case("GRO_sameresid_diffresname"),
    Case("GRO_residwrap"),
    Case("GRO_residwrap_0base"),
    Case("Make_Whole"),
    Case("Martini_membrane_gro"),
    Case("Plength"),
    Case("TRIC"),
    Case("contacts_villin_folded"),
    Case("contacts_villin_unfolded", timed=False),
    Case("TNG_traj_gro"),
    Case("TNG_traj", "TNG_traj_gro", package="pytng"),
    Case("TNG_traj_vels_forces", "TNG_traj_gro", package="pytng"),
    Case("TNG_traj_uneven_blocks", "TNG_traj_gro", refused=".", package="pytng"),
    Case("COORDINATES_TNG", "COORDINATES_TOPOLOGY", package="pytng"),
    Case("TPR", refused="--topology"),
    Case("AUX_EDR", refused="no positions"),
    # DCD
    Case("DCD", "PSF"),
    Case("DCD2", "PSF"),
    Case("DCD_NAMD_GBIS", "PSF_NAMD_GBIS"),
    Case("DCD_NAMD_TRICLINIC", "PSF_NAMD_TRICLINIC"),
    Case("DCD_TRICLINIC", "PSF_TRICLINIC"),
    Case("waterDCD", "waterPSF"),
    Case("COORDINATES_DCD", "COORDINATES_TOPOLOGY"),
    Case("LAMMPSdcd2", "LAMMPSdata2", {"units": "real", "atom_style": "full"}),
    Case("DCD_empty", "PSF", refused="empty"),
    Case("PSF", refused="--topology"),
    # AMBER
    Case("NCDF", "PRMncdf", _STEP),
    Case("TRJ_NCBOX", "PRM_NCBOX"),
    Case("NCDFtruncoct", "PRM7", _STEP),
    Case("PFncdf_Trj", "PFncdf_Top"),
    Case("CPPTRAJ_TRAJ", "CPPTRAJ_TRAJ_TOP"),
    Case("TRJ", "PRM"),
    Case("TRJ_bz2", "PRM"),
    Case("WIN_TRJ", "PRM"),
    Case("TRJ12_bz2", "PRM12"),
    Case("TRJpbc_bz2", "PRMpbc"),
    Case("TRJncdf", "PRMncdf"),
    Case("INPCRD", "PRMNCRST", refused="after them|differ|atoms"),
    Case("RST7_ala2", "PRM7_ala2", refused="after them"),
    Case("PRM", refused="--topology"),
    # LAMMPS
    Case("LAMMPSDUMP", options=_DUMP, **_AS_DUMP),
    Case("LAMMPSDUMP_long", options=_DUMP, refused="expected 5 fields"),
    Case("LAMMPSDUMP_allcoords", options=_DUMP, **_AS_DUMP),
    Case("LAMMPSDUMP_nocoords", options=_DUMP, refused="expected the columns"),
    Case("LAMMPSDUMP_triclinic", options=_DUMP, **_AS_DUMP),
    Case("LAMMPSDUMP_image_vf", options=_DUMP, **_AS_DUMP),
    Case("LAMMPSDUMP_chain1", options=_DUMP, **_AS_DUMP),
    Case("LAMMPSDUMP_chain2", options=_DUMP, **_AS_DUMP),
    Case("LAMMPSDUMP_allinfo", options=_DUMP, **_AS_DUMP),
    Case("LAMMPSDUMP_nomass_elemx", options=_DUMP, **_AS_DUMP),
    Case("LAMMPSDUMP_additional_columns", options=_DUMP, **_AS_DUMP),
    Case("LAMMPSDUMP_non_linear", options=_DUMP, **_AS_DUMP),
    Case("WIN_LAMMPSDUMP", options=_DUMP, **_AS_DUMP),
    # XYZ
    Case("XYZ", options=_VACUUM),
    Case("XYZ_bz2", options=_VACUUM),
    Case("XYZ_mini", options={**_VACUUM, "elements": {"A": "C"}}),
    Case("XYZ_five", options={**_VACUUM, "elements": {"A": "C", "D": "N"}}),
    Case("COORDINATES_XYZ", options=_VACUUM),
    Case("COORDINATES_XYZ_BZ2", options=_VACUUM),
    # Others
    Case("PDB"),
    Case("PDB_small"),
    Case("PDB_xsmall"),
    Case("PDB_multiframe"),
    Case("WIN_PDB_multiframe"),
    Case("PDB_cm"),
    Case("PDB_mc"),
    Case("PDB_cm_gz", refused="archive"),
    Case("PDB_mc_bz2", refused="archive"),
    Case("PDB_full"),
    Case("PDB_CRYOEM_BOX"),
    Case("MULTIPDB_HOLE"),
    Case("ENT"),
    Case("CONECT"),
    Case(
        "PDBX",
        package="gemmi",
        universe={"format": "MMCIF", "topology_format": "MMCIF"},
    ),
    Case("CRD", options=_VACUUM),
    Case("PQR", options=_VACUUM),
    Case("PQR_icodes", options=_VACUUM),
    Case("PDBQT_input", options=_VACUUM),
    Case("PDBQT_tyrosol", options=_VACUUM),
    Case("NAMDBIN", "PSF", _VACUUM),
    Case("DMS"),
    Case("GSD", options=_LJ, package="gsd"),
    Case("GSD_bonds", options=_LJ, package="gsd"),
    Case("H5MD_xvf", "TPR_xvf", package="h5py"),
    Case("COORDINATES_H5MD", "COORDINATES_TOPOLOGY", package="h5py"),
    Case("H5MD_energy", refused="topology", package="h5py"),
    Case("H5MD_malformed", refused="topology", package="h5py"),
    Case("DLP_CONFIG", universe=_AS_CONFIG),
    Case("DLP_CONFIG_minimal", universe=_AS_CONFIG),
    Case("DLP_CONFIG_order", universe=_AS_CONFIG),
    Case("DLP_HISTORY", universe=_AS_HISTORY),
    Case("DLP_HISTORY_classic", universe=_AS_HISTORY),
    Case("DLP_HISTORY_minimal", universe=_AS_HISTORY),
    Case("DLP_HISTORY_minimal_cell", universe=_AS_HISTORY),
    Case("DLP_HISTORY_order", universe=_AS_HISTORY),
    Case("WIN_DLP_HISTORY", universe=_AS_HISTORY),
    Case("TRZ", "TRZ_psf"),
    Case("trz4data", "LAMMPSdata", {"atom_style": "full"}, refused="cannot be read"),
    Case("mol2_molecule"),
    Case("mol2_molecules"),
    Case("mol2_ligand"),
    Case("mol2_comments_header"),
    Case("mol2_sodium_ion"),
    Case("mol2_crysin"),
    Case("mol2_broken_molecule", refused="."),
    Case("TXYZ"),
    Case("ARC"),
    Case("ARC_PBC"),
    Case("WIN_ARC"),
    Case("FHIAIMS"),
    Case("GMS_ASYMOPT"),
    Case("GMS_SYMOPT"),
    Case("GMS_ASYMSURF"),
    Case("TRC_TRAJ1_VAC", "TRC_PDB_VAC"),
    Case("TRC_TRAJ2_VAC", "TRC_PDB_VAC"),
    Case("TRC_TRAJ_SOLV", "TRC_PDB_SOLV"),
    Case("TRC_TRICLINIC_SOLV", "TRC_PDB_SOLV", refused="GROMOS"),
    Case("TRC_TRUNCOCT_VAC", "TRC_PDB_VAC", refused="GROMOS"),
    Case("TRC_CLUSTER_VAC", "TRC_PDB_VAC", refused="GROMOS"),
    Case("TRC_EMPTY", "TRC_PDB_VAC", refused="."),
    Case("TRC_TRAJ1_VAC_MISSING_POS", "TRC_PDB_VAC", refused="."),
    Case("LAMMPSdata", options=_FULL),
    Case("LAMMPSdata2", options=_FULL),
    Case("LAMMPScnt", options=_FULL),
    Case("LAMMPShyd", options=_FULL),
    Case("LAMMPSdata_mini", options=_FULL),
    Case("LAMMPSdata_triclinic", options=_ATOMIC, universe={"atom_style": "id type x y z"}),
    Case("LAMMPSdata_PairIJ", options={**_FULL, "atom_style": "molecular"}),
    Case("LAMMPS_image_vf", options=_FULL),
    Case("LAMMPS_chain", options=_FULL),
    Case("MMTF"),
    Case("MMTF_gz"),
    Case("HoomdXMLdata", refused="--topology"),
    Case("ITP", refused="--topology"),
    Case("AUX_XVG", refused="."),
    Case("FASTA", refused="recognises"),
    Case("SDF_molecule", refused="recognises"),
    Case("legacy_DCD_ADK_coords", refused="recognises"),
]


def ingest_case(case: Case, folder: Path) -> Any:
    """Ingest copies of the files of a case; elements are "C" where they are asked for."""
    source = Path(shutil.copy(case.path, folder / case.path.name))
    options = dict(case.options)
    if case.topology_path is not None:
        name = f"topology_{case.topology_path.name}"
        options["topology"] = shutil.copy(case.topology_path, folder / name)
    try:
        return ice.ingest(source, folder / "t.zarr", **options)
    except ice.InputError as error:
        if case.refused or "give elements=" not in str(error):
            raise
        return ice.ingest(source, folder / "t.zarr", **options, elements="C")
