# Imputations of tables with categories, with the defaults of each package, and their number:
#   Rscript mixed_imputation.R DIRECTORY PACKAGE NUMBER --names NAME ...
# NAME.csv has the rows, the first of which has the levels of each column: 0 of numbers, negative if
# they are ordered; levels are codes from 0. NAME.done gets the seconds of the processor, then the
# values of the missing entries, column by column, imputation after imputation; nothing of a
# failure, which NAME.error explains. missRanger draws by predictive mean matching.
arguments <- commandArgs(trailingOnly = TRUE)
directory <- arguments[1]
number <- as.integer(arguments[3])
impute <- list(
  mice = function(rows) {
    result <- mice::mice(rows, m = number, printFlag = FALSE, seed = 1)
    lapply(seq_len(number), function(i) mice::complete(result, i))
  },
  missForest = function(rows) list(missForest::missForest(rows)$ximp),
  missRanger = function(rows) lapply(seq_len(number), function(i) {
    missRanger::missRanger(rows, pmm.k = 5, seed = i, verbose = 0, num.threads = 1)
  })
)[[arguments[2]]]
suppressMessages(loadNamespace(arguments[2]))

as_column <- function(values, levels) {
  if (levels == 0) return(values)
  factor(values, levels = seq_len(abs(levels)) - 1, ordered = levels < 0)
}
as_numbers <- function(column) if (is.factor(column)) as.integer(column) - 1 else as.numeric(column)

for (name in arguments[-(1:4)]) {
  path <- function(kind) file.path(directory, paste0(name, kind))
  table <- as.matrix(read.csv(path(".csv"), header = FALSE))
  levels <- table[1, ]
  rows <- table[-1, , drop = FALSE]
  frame <- as.data.frame(Map(as_column, asplit(rows, 2), levels))
  names(frame) <- paste0("v", seq_along(frame))
  set.seed(1)
  begin <- proc.time()
  imputed <- tryCatch(suppressWarnings(impute(frame)), error = function(e) {
    writeLines(trimws(conditionMessage(e)), path(".error"))
    NULL
  })
  spent <- sum((proc.time() - begin)[1:2])
  values <- unlist(
    lapply(imputed, function(one) vapply(one, as_numbers, numeric(nrow(rows)))[is.na(rows)]),
    use.names = FALSE
  )
  failed <- is.null(imputed) || anyNA(values)
  if (!is.null(imputed) && failed) writeLines("it left entries missing", path(".error"))
  out <- if (failed) numeric(0) else c(spent, values)
  write.table(format(out, digits = 15), path(".part"), quote = FALSE, row.names = FALSE,
              col.names = FALSE)
  file.rename(path(".part"), path(".done"))
}
