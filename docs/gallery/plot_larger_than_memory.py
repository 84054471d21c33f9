"""
Rows that stay on disk
======================

The same estimator fits an array, a file that is read block by block, Parquet files, and a table on
a cluster, with the same result. What changes is the memory it takes.
"""

import shutil
import tempfile
import tracemalloc
from pathlib import Path

import dask.array as da
import matplotlib.pyplot as plt
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from emlearn import GaussianMixtureEM
from emlearn.data.blocks import ParquetBlocks, map_blocks, open_rows

# %%
# Rows of three clusters, written to a file a part at a time. The file need not fit in memory.

folder = Path(tempfile.mkdtemp())


def write(path, n_rows):
    rng = np.random.default_rng(0)
    file = np.lib.format.open_memmap(path, "w+", float, (n_rows, 8))
    centers = np.zeros((3, 8))
    centers[:, :2] = [[0.0, 0.0], [5.0, 1.0], [1.0, 6.0]]
    for start in range(0, n_rows, 50_000):
        labels = rng.choice(3, size=min(50_000, n_rows - start), p=[0.5, 0.3, 0.2])
        file[start : start + len(labels)] = centers[labels] + rng.normal(size=(len(labels), 8))
    file.flush()
    return path


path = write(folder / "rows.npy", 400_000)

# %%
# ``open_rows`` reads nothing yet. ``fit`` reads each block when an E-step needs it, and some rows
# of all blocks as a sample, on which starts are found.

blocks = open_rows(path)
print(blocks)
mixture = GaussianMixtureEM(3, random_state=0).fit(blocks)
in_memory = GaussianMixtureEM(3, random_state=0).fit(np.load(path))
print(f"log-likelihood: {mixture.log_likelihood_:.6f} from the file")
print(f"                {in_memory.log_likelihood_:.6f} from memory")

# %%
# Predictions come block by block, too, here into another file.

labels = map_blocks(mixture.predict, blocks, out=folder / "labels.npy")
print(np.bincount(labels) / len(labels))

# %%
# Parquet files have names of columns, of which some can be chosen.

table = pa.table({f"x{j}": column for j, column in enumerate(np.load(path).T)})
pq.write_table(table, folder / "rows.parquet", row_group_size=50_000)
parquet = ParquetBlocks(folder / "rows.parquet", columns=["x0", "x1"])
print(parquet)
in_two = GaussianMixtureEM(3, random_state=0).fit(parquet)
print(in_two.feature_names_in_, in_two.means_.round(1).tolist())

# %%
# Dask: the partitions stay where they are. Here, without a cluster, they are computed in this
# process; after ``distributed.Client(...)``, the same line runs on its workers, with the same bits.

partitions = da.from_array(np.load(path, mmap_mode="r"), chunks=(50_000, 8))
on_cluster = GaussianMixtureEM(3, random_state=0).fit(partitions)
print(f"log-likelihood: {on_cluster.log_likelihood_:.6f} from 8 partitions")
print(on_cluster.predict(partitions))

# %%
# The largest memory that a fit allocates, for files of several sizes. Tables of up to 64 MB are
# read once and kept; above that, memory does not grow.

sizes = [50_000, 200_000, 800_000, 1_600_000]
peak = {"file, read by block": [], "array in memory": []}
for n_rows in sizes:
    path = write(folder / "rows.npy", n_rows)
    for name, read in (("file, read by block", open_rows), ("array in memory", np.load)):
        tracemalloc.start()
        GaussianMixtureEM(3, random_state=0).fit(read(path))
        peak[name].append(tracemalloc.get_traced_memory()[1] / 2**20)
        tracemalloc.stop()

# %%

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.2), layout="constrained")
sample = np.load(path, mmap_mode="r")[:3000]
color = mixture.predict(sample)
left.scatter(sample[:, 0], sample[:, 1], c=color, s=4, cmap="viridis", alpha=0.6)
left.plot(*mixture.means_[:, :2].T, "k+", markersize=14, markeredgewidth=2)
left.set(xlabel="column 0", ylabel="column 1", title="3000 of the rows, and the fitted means")
for (name, values), style in zip(peak.items(), ["o-", "s--"], strict=True):
    right.plot(sizes, values, style, label=name)
right.set(xscale="log", yscale="log", xlabel="rows of 8 columns", ylabel="MB allocated by a fit")
right.set_title("Memory")
right.legend()
plt.show()

# %%
# The files are not needed any more.

del sample, labels, partitions
shutil.rmtree(folder)
