# Log-likelihoods of mclust's fits from its hierarchical starts, on the data sets it ships.
# Usage: Rscript mclust_fits.R DIRECTORY   writes one CSV of rows a data set, and fits.csv
suppressMessages(library(mclust))
directory <- commandArgs(trailingOnly = TRUE)[1]
load_rows <- function(name, columns) {
  scope <- new.env()
  data(list = name, package = "mclust", envir = scope)
  as.matrix(scope[[ls(scope)[1]]][, columns, drop = FALSE])
}
named <- function(file, object) {
  scope <- new.env()
  data(list = file, package = "mclust", envir = scope)
  rows <- as.matrix(scope[[object]])
  rows[, vapply(as.data.frame(rows), is.numeric, TRUE), drop = FALSE]
}
sets <- list(
  acidity = as.matrix(get(data(acidity))),
  banknote = load_rows("banknote", 2:7),
  chevron = load_rows("chevron", 2:3),
  cross = load_rows("cross", 2:3),
  diabetes = load_rows("diabetes", 2:4),
  unemployment = load_rows("EuroUnemployment", 1:3),
  faithful = as.matrix(datasets::faithful),
  iris = as.matrix(datasets::iris[, 1:4]),
  gvhd_control = named("GvHD", "GvHD.control"),
  gvhd_positive = named("GvHD", "GvHD.pos"),
  ex4.1 = named("Baudry_etal_2010_JCGS_examples", "ex4.1"),
  ex4.2 = named("Baudry_etal_2010_JCGS_examples", "ex4.2"),
  thyroid = load_rows("thyroid", 2:6),
  wdbc = load_rows("wdbc", 3:12),
  wreath = load_rows("wreath", 1:2)
)
fits <- data.frame()
for (name in names(sets)) {
  rows <- sets[[name]]
  rows <- rows[complete.cases(rows), , drop = FALSE]
  write.table(rows, file.path(directory, paste0(name, ".csv")), sep = ",",
              row.names = FALSE, col.names = FALSE)
  kinds <- if (ncol(rows) == 1) c(full = "V", tied = "E")
           else c(full = "VVV", tied = "EEE", diag = "VVI", spherical = "VII")
  for (kind in names(kinds)) for (k in 2:5) {
    fit <- tryCatch(Mclust(rows, G = k, modelNames = kinds[[kind]], verbose = FALSE,
                           control = emControl(tol = c(1e-10, 1e-10), itmax = c(5000, 5000))),
                    error = function(e) NULL)
    if (is.null(fit) || is.null(fit$loglik) || is.na(fit$loglik)) next
    fits <- rbind(fits, data.frame(set = name, covariance_type = kind, n_components = k,
                                   log_likelihood = fit$loglik,
                                   smallest = min(fit$parameters$pro) * nrow(rows)))
  }
}
write.csv(format(fits, digits = 12), file.path(directory, "fits.csv"), row.names = FALSE,
          quote = FALSE)
