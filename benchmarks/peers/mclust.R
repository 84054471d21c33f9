# Fits of Mclust with its own defaults: Rscript mclust.R DIRECTORY --names NAME ...
# NAME.csv has the rows, NAME.model a model and a number of components. NAME.done gets the seconds
# of the processor, then weights, means and covariances, one after another; nothing of a failure.
suppressMessages(library(mclust))
arguments <- commandArgs(trailingOnly = TRUE)
directory <- arguments[1]
for (name in arguments[-(1:2)]) {
  path <- function(kind) file.path(directory, paste0(name, kind))
  rows <- as.matrix(read.csv(path(".csv"), header = FALSE))
  model <- read.table(path(".model"), stringsAsFactors = FALSE)
  set.seed(0)
  begin <- proc.time()
  fit <- tryCatch(Mclust(rows, G = model[[2]], modelNames = model[[1]], verbose = FALSE),
                  error = function(e) NULL)
  spent <- sum((proc.time() - begin)[1:2])
  out <- numeric(0)
  if (!is.null(fit)) {
    known <- fit$parameters
    covariances <- if (ncol(rows) > 1) known$variance$sigma
                   else rep_len(known$variance$sigmasq, model[[2]])
    out <- c(spent, known$pro, known$mean, covariances)
  }
  write.table(format(out, digits = 17), path(".part"), quote = FALSE, row.names = FALSE,
              col.names = FALSE)
  file.rename(path(".part"), path(".done"))
}
