# Median seconds of the processor of fits of lme4 by REML, and the log-likelihood.
# Usage: Rscript lme4_fits.R ROWS.csv FORMULA GROUPS DERIVATIVES SECONDS
#   GROUPS are columns, separated by commas; fits are repeated, at least three times, for SECONDS
suppressMessages(library(lme4))
arguments <- commandArgs(trailingOnly = TRUE)
rows <- read.csv(arguments[1])
for (column in strsplit(arguments[3], ",")[[1]]) rows[[column]] <- factor(rows[[column]])
model <- as.formula(arguments[2])
control <- lmerControl(calc.derivs = arguments[4] == "TRUE")
clock <- function() sum(proc.time()[c("user.self", "sys.self")])
found <- NULL
took <- c()
# The clock has steps of a millisecond: short fits are timed in tens.
turn <- function(times) {
  begin <- clock()
  for (i in seq_len(times)) found <<- lmer(model, rows, control = control)
  (clock() - begin) / times
}
times <- if (turn(1) < 0.2) 10 else 1
begin <- clock()
while (length(took) < 3 || clock() - begin < as.numeric(arguments[5])) took <- c(took, turn(times))
cat(median(took), format(as.numeric(logLik(found)), digits = 15), "\n")
