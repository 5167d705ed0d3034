"""Make geometry.json: matrix entropy, RankMe and alpha-ReQ by other people's libraries.

Run in an environment of its own (README.md beside this file says how it was set up):

    python make_geometry.py --repitl FOLDER

The tests import :func:`matrices` from here, which needs numpy alone; the libraries are
imported where they are called.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

ORDERS = (0.5, 1.0, 2.0)
OUT = Path(__file__).with_name("geometry.json")


def matrices() -> dict[str, np.ndarray]:
    """The inputs, float64, rows are tokens. ``RandomState`` keeps its streams for good.

    Only element-wise arithmetic, so that every machine makes the same numbers up to the last bits.
    """
    wide = np.random.RandomState(1).standard_normal((40, 100))

    power_law = np.random.RandomState(2).standard_normal((300, 150))
    power_law *= np.arange(1, 151) ** -0.5  # column i has variance 1/i
    power_law += 0.25  # away from the origin: centring matters

    massive = np.random.RandomState(3).standard_normal((200, 128))
    massive[0] *= 0.1
    massive[0, [5, 40, 77]] += [400.0, -250.0, 90.0]  # one token like a massive activation
    return {"wide_40x100": wide, "power_law_300x150": power_law, "massive_row_200x128": massive}


def prepared(z: np.ndarray, centred: bool) -> np.ndarray:
    """Token mean taken out if asked for, then every row divided by its Euclidean norm."""
    if centred:
        z = z - z.mean(axis=0)
    return z / np.linalg.norm(z, axis=1, keepdims=True)


def entropies(gram: np.ndarray) -> dict[str, float]:
    """What the library's functions say of one Gram matrix, in nats, by name of the call."""
    import torch
    from repitl import matrix_itl as itl

    k = torch.from_numpy(gram)
    said = {str(order): itl.matrixAlphaEntropy(k, order).item() for order in ORDERS if order != 1}
    said["1.0"] = itl.vonNeumannEntropy(k).item() * math.log(2)  # the function answers in bits
    said["2.0 Frobenius shortcut"] = -math.log(
        itl.generalizedInformationPotential(k, 2, allow_frobenius_speedup=True).item()
    )
    return dict(sorted(said.items()))


def matrix_entropy(z: np.ndarray) -> dict[str, Any]:
    """Entropies of both Grams of a matrix, centred or not, clamped element-wise at 0 or not."""
    said: dict[str, Any] = {}
    for centred in (True, False):
        rows = prepared(z, centred)
        grams = {"tokens": rows @ rows.T, "dimensions": rows.T @ rows}
        said["centred" if centred else "not centred"] = {
            side: {"plain": entropies(gram), "clamped": entropies(gram.clip(min=0))}
            for side, gram in grams.items()
        }
    return said


def spectrum_measures(z: np.ndarray) -> dict[str, Any]:
    """RankMe and alpha-ReQ of a matrix as it is, by reptrix (which centres it)."""
    import torch
    from reptrix import alpha, rankme, utils

    said: dict[str, Any] = {
        "explained_variance_ratio": utils.get_eigenspectrum(z).tolist(),
        "rankme": float(rankme.get_rankme(torch.from_numpy(z))),
    }
    try:
        slope, fit, r2, r2_100 = alpha.get_alpha(torch.from_numpy(z))
    except IndexError as error:
        return said | {"alpha_req": None, "alpha_req_error": f"{type(error).__name__}: {error}"}
    fitted = {"alpha": slope, "r2": r2, "r2_100": r2_100, "fitted_1": fit[0], "fitted_100": fit[99]}
    return said | {"alpha_req": {name: float(value) for name, value in fitted.items()}}


def main() -> None:
    """Call the libraries and write what they said."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repitl", type=Path, required=True, help="folder that holds the package repitl")
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    sys.path.insert(0, str(options.repitl))

    source = options.repitl / "repitl" / "matrix_itl.py"
    versions = {name: metadata.version(name) for name in ("numpy", "torch", "scikit-learn", "reptrix")}
    versions["representation-itl"] = "repository commit 1773d1e (the package 1.0.7 holds no code)"
    golden = {
        "versions": versions,
        "matrix_itl_sha256": hashlib.sha256(source.read_bytes()).hexdigest(),
        "matrices": {
            name: {
                "shape": list(z.shape),
                "sum": float(z.sum()),
                "sum_of_squares": float((z**2).sum()),
                "matrix_entropy": matrix_entropy(z),
                "reptrix": spectrum_measures(z),
            }
            for name, z in matrices().items()
        },
    }
    options.out.write_text(json.dumps(golden, indent=1) + "\n")


if __name__ == "__main__":
    main()
