# Imputations of Amelia or mice, with the defaults of each, and their number:
#   Rscript imputation.R DIRECTORY PACKAGE NUMBER --names NAME ...
# NAME.csv has the rows. NAME.done gets the seconds of the processor, then the values of the missing
# entries, column by column, imputation after imputation; nothing of a failure, which NAME.error
# explains.
arguments <- commandArgs(trailingOnly = TRUE)
directory <- arguments[1]
number <- as.integer(arguments[3])
impute <- list(
  Amelia = function(rows) {
    result <- Amelia::amelia(rows, m = number, p2s = 0)
    if (!identical(as.integer(result$code), 1L)) stop(result$message)
    result$imputations
  },
  mice = function(rows) {
    result <- mice::mice(as.data.frame(rows), m = number, printFlag = FALSE, seed = 1)
    lapply(seq_len(number), function(i) as.matrix(mice::complete(result, i)))
  }
)[[arguments[2]]]
suppressMessages(loadNamespace(arguments[2]))
for (name in arguments[-(1:4)]) {
  path <- function(kind) file.path(directory, paste0(name, kind))
  rows <- as.matrix(read.csv(path(".csv"), header = FALSE))
  set.seed(1)
  begin <- proc.time()
  tables <- tryCatch(impute(rows), error = function(e) {
    writeLines(trimws(conditionMessage(e)), path(".error"))
    NULL
  })
  spent <- sum((proc.time() - begin)[1:2])
  values <- unlist(lapply(tables, function(table) table[is.na(rows)]), use.names = FALSE)
  failed <- is.null(tables) || length(values) != number * sum(is.na(rows)) || anyNA(values)
  out <- if (failed) numeric(0) else c(spent, values)
  write.table(format(out, digits = 15), path(".part"), quote = FALSE, row.names = FALSE,
              col.names = FALSE)
  file.rename(path(".part"), path(".done"))
}
