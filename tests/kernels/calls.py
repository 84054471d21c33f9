"""A valid call of each compiled function, of random sizes: what tests and fuzz.py start from."""

import numpy as np

#: Positions of the arguments that are read as floats.
NUMBERS = {
    "backproject_lines": [3, 4, 5],
    "column_sums": [2],
    "filter_states": [10],
    "general_location_condition": [9],
    "general_location_draw": [9],
    "general_location_expect": [9],
    "join_clusters": [4, 5, 6],
    "lloyd": [2],
    "precision_cholesky": [1],
    "project_lines": [3],
    "smooth_states": [10],
    "solve_blocks": [6],
    "solve_sparse": [4],
}
#: Positions of the arguments that may be None, alone or together with others.
OPTIONAL = {
    "backproject_lines": [2],
    "column_sums": [1],
    "column_squares": [1],
    "count_links": [8],
    "filter_states": [8, 14],
    "forward_backward": [4],
    "gaussian_log_density": [1, 2],
    "gaussian_missing_log_density": [1, 2, 7, 11],
    "gaussian_missing_moments": [1, 2, 10, 14],
    "gaussian_missing_step": [1, 2, 6, 10, 14],
    "gaussian_moments": [1, 2],
    "gaussian_step": [1, 2, 6],
    "potts_sweep": [2],
    "project_lines": [2],
    "responsibilities": [1, 2],
    "smooth_states": [8, 15],
    "solve_blocks": [4, 5, 7, 8],
    "standardize": [4],
    "topic_step": [5, 8],
}
#: Positions of the arguments that are written to.
WRITTEN = {
    "backproject_lines": [6],
    "categorical_counts": [1],
    "categorical_log_density": [2],
    "center_observed": [4],
    "best_links": [8],
    "cholesky_counts": [2],
    "cholesky_pattern": [3],
    "cluster_moments": [3, 4, 5],
    "column_squares": [4],
    "column_sums": [3, 4, 5, 6],
    "count_links": [7, 8],
    "factorize_sparse": [5, 6, 7],
    "fill_missing": [5],
    "filter_states": [11, 12, 13, 14, 15],
    "forward_backward": [0, 5, 6, 7],
    "gaussian_log_density": [6],
    "gaussian_missing_log_density": [6],
    "gaussian_missing_moments": [7, 8, 9],
    "gaussian_missing_step": [7, 8, 9],
    "gaussian_moments": [7, 8, 9],
    "gaussian_step": [7, 8, 9],
    "general_location_condition": [10, 11, 12, 13, 14],
    "general_location_draw": [12, 13],
    "general_location_expect": [11, 12, 13, 14, 15],
    "join_clusters": [7],
    "link_table": [4, 5, 6],
    "lloyd": [3, 4],
    "look_up_links": [7],
    "precision_cholesky": [2, 3, 4],
    "potts_sweep": [1],
    "project_lines": [4],
    "responsibilities": [0, 2],
    "seed_clusters": [3, 4, 5],
    "selected_inverse": [5, 6],
    "smooth_states": [11, 12, 13, 14, 15, 16],
    "solve_blocks": [5, 8, 9],
    "solve_sparse": [3],
    "standardize": [5],
    "sum_links": [6],
    "topic_step": [6, 7, 8],
    "viterbi": [4, 5],
}


def gaussian_call(rng, n, d, K, dtype=np.float64):
    """The arguments that the functions of Gaussians begin with, and the sums they end with."""
    diagonal = rng.random() < 0.5
    factor = rng.random((K, d)) + 0.5
    factor = factor if diagonal else np.triu(rng.normal(size=(K, d, d)), 1) + np.eye(d)
    parameters = [
        rng.normal(size=(d, n)).astype(dtype),
        rng.normal(size=d),
        rng.random(d) + 0.5,
        rng.normal(size=(K, d)),
        factor,
        rng.normal(size=K),
    ]
    return parameters, [np.empty(K), np.empty((K, d)), np.empty(factor.shape)]


def patterns(rng, n, d, smallest=0):
    """Some patterns of columns: the columns, where they start, and edges of their rows."""
    n_patterns = int(rng.integers(1, 6))
    sizes = np.sort(rng.integers(smallest, d + 1, n_patterns))
    columns = [np.sort(rng.permutation(d)[:size]) for size in sizes]
    edges = np.sort(rng.integers(0, n + 1, n_patterns - 1))
    return (
        np.concatenate(columns).astype(np.uint16),
        np.concatenate([[0], np.cumsum(sizes)]),
        np.concatenate([[0], edges, [n]]),
    )


def missing_arguments(rng, parameters):
    """Patterns of missing entries, and what else the functions for them end with."""
    (d, n), factor = parameters[0].shape, parameters[4]
    columns, starts, edges = patterns(rng, n, d, smallest=1)
    # A pattern has one row at least.
    n_patterns = min(starts.size - 1, n)
    starts = starts[: n_patterns + 1]
    edges = np.concatenate([np.arange(n_patterns), [n]])
    precision = None if factor.ndim == 2 else factor @ factor.transpose(0, 2, 1)
    return [precision, columns[: starts[-1]], starts, edges, rng.random(d)]


def location_arguments(rng, n, q, K):
    """Rows and parameters of the general location model, and the number of levels."""
    sizes = rng.integers(1, 5, int(rng.integers(1, 5)))
    T, n_covariances = int(sizes.sum()), int(rng.choice([1, K]))
    missing = rng.random((n, q)) < 0.3
    codes = rng.integers(0, sizes, size=(n, len(sizes))).astype(np.int32)
    codes[rng.random(codes.shape) < 0.3] = -1
    if rng.random() < 0.5:
        order = np.lexsort(np.concatenate((codes < 0, missing), axis=1).T)
        missing, codes = np.ascontiguousarray(missing[order]), np.ascontiguousarray(codes[order])
    A = rng.normal(size=(n_covariances, q, q + 3))
    arguments = [
        np.where(missing, 0.0, rng.normal(size=(n, q))),
        missing,
        codes,
        np.cumsum([0, *sizes]),
        np.log(rng.dirichlet(np.ones(K))),
        np.log(rng.random((K, T))),
        rng.normal(size=(K, q)),
        rng.normal(size=(T, q)),
        A @ A.transpose(0, 2, 1),
        float(rng.choice([1, 7, 4096])),
    ]
    return arguments, T


def upper_columns(matrix):
    """Starts, rows and entries of the upper triangle, column after column."""
    columns, rows = np.nonzero(np.tril(matrix))
    starts = np.searchsorted(columns, np.arange(len(matrix) + 1))
    return starts, rows.astype(np.int32), matrix[rows, columns]


def factor_columns(matrix, n_sparse):
    """Starts and rows of the first columns of the Cholesky factor, and counts of all columns."""
    there = matrix != 0.0
    for k in range(len(there)):
        below = k + 1 + np.flatnonzero(there[k + 1 :, k])
        there[np.ix_(below, below)] = True
    below = np.tril(there, -1)
    columns, rows = np.nonzero(below[:, :n_sparse].T)
    starts = np.searchsorted(columns, np.arange(n_sparse + 1))
    return starts, rows.astype(np.int32), 1 + below.sum(axis=0)


def sparse_matrix(rng, n):
    """A positive definite matrix, next to nothing of which is not 0."""
    matrix = np.diag(rng.random(n) + 0.5)
    for _ in range(n):
        picked = rng.permutation(n)[:2]
        column = rng.normal(size=picked.size)
        matrix[np.ix_(picked, picked)] += np.outer(column, column)
    return matrix


def projection_arguments(rng):
    """Lines of pixels, the geometry of some angles, and what a detector sees of slabs."""
    A, S, L, N, B = (int(x) for x in rng.integers(2, 9, 5))
    K = int(rng.choice([1, 4, 8]))
    angle = rng.random((A, 1)) * np.pi / 4
    size = rng.choice([0.4, 1.0, 3.0])
    along = size * np.hstack([np.cos(angle), -np.sin(angle)])
    geometry = np.hstack(
        [rng.normal(B / 2 - N / 2, 3.0, (A, 1)), along, rng.random((A, 1)), -along[:, ::-1]]
    )
    factors = rng.random((A, L, N)).astype(np.float32)
    return rng.random((L, N, K)), geometry, factors, rng.random((A, S, B, K))


def link_arguments(rng):
    """Pairs of sentences: words of both sides, links, words, cells and entries."""
    lengths = rng.integers(1, 5, (int(rng.integers(1, 6)), 2))
    starts = np.cumsum(lengths, axis=0) - lengths
    source = np.sort(rng.integers(0, 4, lengths[:, 0].sum())).astype(np.int32)
    target = rng.integers(0, 6, lengths[:, 1].sum()).astype(np.int32)
    pair = np.repeat(np.arange(len(lengths)), lengths[:, 0])
    of_links = np.concatenate([[0], np.cumsum(lengths[pair, 1])])
    table = np.array([0, 2, 2, 5, 6]), np.array([1, 4, 0, 2, 5, 3], np.int32)
    entries = rng.integers(0, 10, of_links[-1]).astype(np.int32)
    return source, target, of_links, starts[pair, 1], table, entries


def state_space_arguments(rng, T, n, G):
    """What both functions of state spaces begin with."""
    q, m = int(rng.integers(n + 2)), int(rng.integers(1, 11))
    # Also of more entries than are observed in a step at once.
    sizes = [m, *rng.integers(0, m + 1, int(rng.integers(3)))]
    index = np.concatenate([rng.permutation(m)[:size] for size in sizes])
    bounds, pattern = np.cumsum([0, *sizes]), rng.integers(len(sizes), size=T)
    pattern[-1] = 0
    n_observations = int(np.diff(bounds)[pattern].sum())
    A = rng.normal(size=(n, n))
    return [
        0.9 * A / np.abs(np.linalg.eigvals(A)).max(),
        rng.normal(size=(n, q)),
        rng.normal(size=(m, n)),
        index,
        bounds,
        pattern,
        rng.normal(size=(n, n)),
        rng.normal(size=(G, n_observations)),
        rng.normal(size=(G, T, n)),
        rng.normal(size=(G, n)),
        1e-13,
        np.empty((G, n_observations)),
    ]


def topic_arguments(rng, n):
    """Starts, words and counts of documents, and numbers of their topics and of the words."""
    n_words, n_topics = int(rng.integers(1, 30)), 8 * int(rng.integers(1, 9))
    lengths = rng.integers(0, 200, n)
    words = rng.integers(n_words, size=lengths.sum()).astype(np.int32)
    documents, topics = rng.random((n, n_topics)), rng.random((n_words, n_topics))
    starts = np.concatenate([[0], np.cumsum(lengths)])
    return [starts, words, rng.random(words.size) + 0.5, documents, topics, rng.random(n)]


def valid_calls(rng, largest=40):
    """Arguments of a valid call of each function, by name."""
    n, d, K = (int(x) for x in rng.integers(1, [largest, 9, 20]))
    dtype = rng.choice([np.float64, np.float32])
    gaussian, sums = gaussian_call(rng, n, d, K, dtype)
    incomplete, missing_sums = gaussian_call(rng, n, d, K)
    conditioning = missing_arguments(rng, incomplete)
    table = rng.normal(size=(n, d)).astype(dtype)
    table[rng.random((n, d)) < 0.3] = np.nan
    m = int(rng.integers(1, n + 1))
    order = rng.permutation(n)[:m]
    missing = np.isnan(table[order])
    n_codes = int(rng.integers(1, 12))
    codes = rng.integers(n_codes, size=(n, int(rng.integers(1, 5)))).astype(np.int32)
    joint = 5.0 * rng.normal(size=(K, n))
    edges = np.unique(np.concatenate([[0, n], rng.integers(0, n + 1, 3)]))
    n_sequences = edges.size - 1
    chain = [edges, rng.dirichlet(np.ones(K)), rng.dirichlet(np.ones(K), K)]
    A = rng.normal(size=(K, d, d + 3))
    covariances = A @ A.transpose(0, 2, 1)
    columns, starts, rows = patterns(rng, n, d)
    vectors = rng.normal(size=(n, d))
    n_patterns = starts.size - 1
    location, T = location_arguments(rng, n, d, K)
    J = location[2].shape[1]
    points, triangle = rng.normal(size=(d, n)), d * (d + 1) // 2
    grid = (K, *(int(size) for size in rng.integers(1, 8, 3)))
    matrix = sparse_matrix(rng, min(n, 40) + 1)
    n_tail = int(rng.integers(1, len(matrix) + 1))
    first = len(matrix) - n_tail
    upper = upper_columns(matrix)
    factor_starts, factor_rows, counts = factor_columns(matrix, first)
    factor = factor_starts, factor_rows, rng.normal(size=factor_rows.size)
    tail = np.linalg.inv(matrix[first:, first:])
    pixels, geometry, factors, rays = projection_arguments(rng)
    source, target, of_links, of_words, (row_starts, entry_columns), entries = link_arguments(rng)
    links = [
        entries, of_links, of_words, np.zeros(source.size, np.int64), rng.random(10), rng.random(5)
    ]  # fmt: skip
    S, G = int(rng.integers(1, 14)), int(rng.integers(1, 40))
    filtering, smoothing = (state_space_arguments(rng, n, S, G) for _ in range(2))
    corpus = topic_arguments(rng, n)
    return {
        "backproject_lines": [
            rays, geometry, factors, 0.5, 1.0, float(len(pixels)), np.zeros(pixels.shape)
        ],
        "best_links": [
            *links, rng.random(target.size), rng.random(source.size),
            np.empty(target.size, np.int64),
        ],
        "categorical_counts": [codes, np.empty((K, n_codes)), rng.random((K, n))],
        "categorical_log_density": [codes, rng.normal(size=(K, n_codes)), np.zeros((K, n))],
        "center_observed": [
            vectors[:m].copy(), rng.random(m), missing, rng.normal(size=d), np.empty((m, d))
        ],
        "cholesky_counts": [*upper[:2], np.empty(counts.size, np.int64)],
        "cholesky_pattern": [*upper[:2], factor_starts, np.empty_like(factor_rows)],
        "cluster_moments": [
            points, rng.random(n), rng.integers(K, size=n), np.empty(K), np.empty((K, d)),
            np.empty((K, triangle)),
        ],
        "column_squares": [table, rng.random(n), rng.normal(size=d), np.ones(d), np.zeros(d)],
        "column_sums": [
            table, rng.random(n), 0.5, np.zeros(d), np.zeros(d), np.full(d, np.inf),
            np.full(d, -np.inf),
        ],
        "count_links": [*links, rng.random(target.size), np.zeros(10), np.zeros(5)],
        "factorize_sparse": [
            *upper, *factor[:2], np.empty(factor_rows.size), np.empty(first),
            np.empty((n_tail, n_tail)),
        ],
        "fill_missing": [
            vectors[:m].copy(), order, missing, rng.normal(size=d), np.ones(d), table.copy()
        ],
        "filter_states": [
            *filtering, np.empty((G, n, S)), np.empty((G, n, S)), np.empty((2, n, S, S)),
            np.empty((S, S)),
        ],
        "forward_backward": [
            joint.copy(), *chain, rng.random(n_sequences) + 0.5, np.empty(n_sequences),
            np.empty(K), np.empty((K, K)),
        ],
        "gaussian_log_density": [*gaussian, np.empty((K, n), dtype)],
        "gaussian_missing_log_density": [*incomplete, np.empty((K, n)), *conditioning],
        "gaussian_missing_moments": [*incomplete, rng.random((K, n)), *missing_sums, *conditioning],
        "gaussian_missing_step": [*incomplete, rng.random(n), *missing_sums, *conditioning],
        "gaussian_moments": [*gaussian, rng.random((K, n)).astype(dtype), *sums],
        "gaussian_step": [*gaussian, rng.random(n), *sums],
        "general_location_condition": [
            *location, np.empty(n), np.empty((n, K)), np.empty((n, T)), np.empty((n, d)),
            np.empty((n, d)),
        ],
        "general_location_draw": [
            *location, rng.random((n, J + 1)), rng.normal(size=(n, d)), np.empty((n, d)),
            np.empty((n, J), np.int32),
        ],
        "general_location_expect": [
            *location, rng.random(n), np.empty(K), np.empty((K, d)), np.empty((K, d, d)),
            np.empty((K, T, T)), np.empty((K, T, d)),
        ],
        "join_clusters": [
            rng.random(K) + 0.5, rng.normal(size=(K, d)), rng.random((triangle, K)),
            np.ones(triangle), 2.0, 1.0, 2.0, np.empty(K, np.int64),
        ],
        "link_table": [
            source, of_links, of_words, target, np.empty(5, np.int64),
            np.empty(entries.size, np.int32), np.empty(entries.size, np.int32),
        ],
        "lloyd": [points, rng.random(n), 3.0, rng.normal(size=(K, d)), np.full(n, -1)],
        "look_up_links": [
            row_starts, entry_columns, np.arange(source.size), source, of_links, of_words, target,
            np.empty(entries.size, np.int32),
        ],
        "precision_cholesky": [
            covariances, 1e-10, np.empty((K, d, d)), np.empty(K), np.empty((K, d))
        ],
        "potts_sweep": [
            rng.normal(size=grid).astype(dtype), np.full(grid, 1.0 / K, dtype),
            rng.random(grid[1:]) < 0.8, rng.random(3),
        ],
        "project_lines": [pixels, geometry, factors, 2.0, np.empty(rays.shape)],
        "responsibilities": [joint.astype(dtype), rng.random(n), np.empty(n)],
        "seed_clusters": [
            points, rng.random(n), rng.random((K, 2)), np.empty(K, np.int64),
            np.empty(n, np.int64), np.empty(n),
        ],
        "selected_inverse": [
            *factor, rng.random(first) + 0.5, tail, np.empty(factor_rows.size), np.empty(first)
        ],
        "smooth_states": [
            *smoothing, np.empty((G, n, S)), np.empty((len(smoothing[4]) - 1, S, S)),
            np.empty((5, S, S)), np.empty((n, S, S)), np.empty((G, S)),
        ],
        "solve_blocks": [
            covariances[0].copy(), columns, starts, rows, vectors, np.zeros((n, d)), 1.0,
            rng.random(n_patterns), np.zeros((d, d)), np.empty(n_patterns),
        ],
        "solve_sparse": [*factor, rng.normal(size=(len(matrix), K)), 0.0],
        "standardize": [
            table, order, rng.normal(size=d), np.ones(d), rng.random(m), np.empty((m, d))
        ],
        "sum_links": [*links, np.empty(target.size)],
        "topic_step": [
            *corpus, np.empty(corpus[3].shape), np.empty(n), np.zeros(corpus[4].shape)
        ],
        "viterbi": [joint.copy(), *chain, np.empty(n, np.int64), np.empty(n_sequences)],
    }  # fmt: skip
