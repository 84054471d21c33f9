# Writes mixed_data.json and mixed_models.json: data sets of lme4 and nlme, and fits of lme4.
# Usage: Rscript mixed_models.R DIRECTORY   needs lme4, lmerTest, numDeriv and jsonlite
suppressMessages({library(lme4); library(lmerTest); library(jsonlite)})
directory <- commandArgs(trailingOnly = TRUE)[1]

sets <- list(
  sleepstudy = "lme4", Dyestuff = "lme4", Dyestuff2 = "lme4", Penicillin = "lme4",
  Pastes = "lme4", cake = "lme4", ergoStool = "nlme", Machines = "nlme", Orthodont = "nlme",
  Oats = "nlme", Rail = "nlme"
)
rows <- list()
for (name in names(sets)) {
  scope <- new.env()
  data(list = name, package = sets[[name]], envir = scope)
  frame <- as.data.frame(scope[[name]])
  for (column in names(frame)) if (is.factor(frame[[column]]))
    frame[[column]] <- factor(as.character(frame[[column]]))  # levels in order, unordered
  if (name == "Pastes") frame$sample <- NULL  # batch and cask
  if (name == "cake") frame$temperature <- NULL  # temp, as a factor
  rows[[name]] <- frame
}
columns <- lapply(names(rows), function(name) list(
  source = paste0(sets[[name]], "::", name),
  columns = lapply(rows[[name]], function(x) if (is.factor(x)) as.character(x) else x)))
names(columns) <- names(rows)
write_json(columns, file.path(directory, "mixed_data.json"), auto_unbox = TRUE, digits = NA)

models <- list(
  c("sleepstudy", "sleepstudy", "Reaction ~ Days + (Days | Subject)"),
  c("sleepstudy_independent", "sleepstudy", "Reaction ~ Days + (Days || Subject)"),
  c("sleepstudy_intercepts", "sleepstudy", "Reaction ~ Days + (1 | Subject)"),
  c("sleepstudy_slopes", "sleepstudy", "Reaction ~ Days + (0 + Days | Subject)"),
  c("sleepstudy_weights", "sleepstudy", "Reaction ~ Days + (Days | Subject)", "1 + Days / 3"),
  c("Dyestuff", "Dyestuff", "Yield ~ 1 + (1 | Batch)"),
  c("Dyestuff2", "Dyestuff2", "Yield ~ 1 + (1 | Batch)"),
  c("Penicillin", "Penicillin", "diameter ~ 1 + (1 | plate) + (1 | sample)"),
  c("Pastes", "Pastes", "strength ~ 1 + (1 | batch/cask)"),
  c("cake", "cake", "angle ~ recipe + temp + (1 | recipe:replicate)"),
  c("ergoStool", "ergoStool", "effort ~ Type + (1 | Subject)"),
  c("Machines", "Machines", "score ~ Machine + (1 | Worker/Machine)"),
  c("Machines_correlated", "Machines", "score ~ Machine + (0 + Machine | Worker)"),
  c("Orthodont", "Orthodont", "distance ~ age * Sex + (age | Subject)"),
  c("Oats", "Oats", "yield ~ nitro + (1 | Block/Variety)"),
  c("Rail", "Rail", "travel ~ 1 + (1 | Rail)"),
  # Singular: a variance of 0, and a correlation of 1.
  c("Pastes_singular", "Pastes", "strength ~ 1 + (1 | batch/cask) + (1 | cask)"),
  c("Oats_singular", "Oats", "yield ~ nitro + (nitro | Block) + (1 | Block:Variety)")
)

# The optimum to many digits: a local search from the first one, and from where that ends.
fit <- function(formula, frame, reml, weights = NULL) {
  frame$.weights <- if (is.null(weights)) rep(1, nrow(frame)) else weights
  found <- suppressMessages(lmer(formula, frame, REML = reml, weights = .weights))
  control <- lmerControl(optimizer = "bobyqa", check.conv.singular = "ignore",
                         optCtrl = list(rhobeg = 2e-4, rhoend = 1e-12, maxfun = 1e5))
  for (turn in 1:2)
    found <- suppressWarnings(lmer(formula, frame, REML = reml, weights = .weights,
                                   control = control, start = getME(found, "theta")))
  found
}

variances <- function(model) {
  found <- as.data.frame(VarCorr(model))
  found[is.na(found)] <- ""
  list(var = setNames(as.list(found$vcov), paste(found$grp, found$var1, found$var2, sep = ".")),
       sd_or_cor = I(found$sdcor))
}

# Standard errors of the variances, by the delta method from the factors and sigma.
variance_errors <- function(model) {
  n <- length(model@theta)
  variances_at <- function(x) {
    parts <- split(x[seq_len(n)], rep(seq_along(model@cnms), choose(lengths(model@cnms) + 1, 2)))
    found <- unlist(lapply(seq_along(parts), function(j) {
      q <- length(model@cnms[[j]])
      L <- matrix(0, q, q)
      L[lower.tri(L, diag = TRUE)] <- parts[[j]]
      V <- x[n + 1]^2 * L %*% t(L)
      c(diag(V), V[lower.tri(V)])
    }))
    c(found, x[n + 1]^2)
  }
  at <- c(model@theta, sigma(model))
  slope <- numDeriv::jacobian(variances_at, at)
  sqrt(diag(slope %*% model@vcov_varpar %*% t(slope)))
}

# The variances are those given the fixed effects: their uncertainty is not in them.
predictors <- function(model) lapply(ranef(model, condVar = TRUE), function(found) {
  variances <- attr(found, "postVar")
  if (is.list(variances)) variances <- NULL  # several terms of one factor
  list(levels = rownames(found), columns = I(names(found)), effects = unname(as.matrix(found)),
       variances = if (!is.null(variances)) aperm(variances, c(3, 1, 2)))
})

entries <- list()
for (model in models) for (reml in c(TRUE, FALSE)) {
  frame <- rows[[model[2]]]
  weights <- if (length(model) > 3) eval(parse(text = model[4]), frame)
  found <- fit(as.formula(model[3]), frame, reml, weights)
  tests <- summary(found, ddf = "Satterthwaite")$coefficients
  method <- if (reml) "REML" else "ML"
  singular <- isSingular(found, tol = 1e-4)
  values <- c(
    list(logLik = as.numeric(logLik(found)), AIC = AIC(found), BIC = BIC(found),
         fixef_names = I(names(fixef(found))),
         fixef = I(unname(fixef(found))), fixef_se = I(unname(tests[, "Std. Error"])),
         vcov = unname(as.matrix(vcov(found)))),
    variances(found),
    list(sigma = sigma(found), singular = singular, ranef = predictors(found),
         fitted = unname(fitted(found)), population = unname(predict(found, re.form = NA)))
  )
  if (!singular) values <- c(values, list(
    var_se = variance_errors(found), satterthwaite_df = I(unname(tests[, "df"])),
    t = I(unname(tests[, "t value"])), p = I(unname(tests[, "Pr(>|t|)"]))))
  data <- paste0(sets[[model[2]]], "::", model[2])
  entries[[length(entries) + 1]] <- list(
    name = paste("lmer", model[1], method, sep = "_"), data = data,
    setting = paste0(model[3], if (length(model) > 3) paste(" weights", model[4]), " ", method),
    values = values, source = "computed")
}

# Likelihood-ratio tests of the last random effect: p-values by chi-squared, and by the mixture
# of chi-squared distributions of k - 1 and k degrees of freedom (Stram and Lee, 1994).
pairs <- list(
  c("sleepstudy", "Reaction ~ Days + (1 | Subject)", "Reaction ~ Days + (Days | Subject)", 2),
  c("sleepstudy", "Reaction ~ Days + (1 | Subject)", "Reaction ~ Days + (Days || Subject)", 1),
  c("sleepstudy", "Reaction ~ Days", "Reaction ~ Days + (1 | Subject)", 1),
  c("Dyestuff", "Yield ~ 1", "Yield ~ 1 + (1 | Batch)", 1),
  c("Dyestuff2", "Yield ~ 1", "Yield ~ 1 + (1 | Batch)", 1),
  c("Rail", "travel ~ 1", "travel ~ 1 + (1 | Rail)", 1),
  c("Machines", "score ~ Machine + (1 | Worker)", "score ~ Machine + (1 | Worker/Machine)", 1),
  c("Penicillin", "diameter ~ 1 + (1 | sample)", "diameter ~ 1 + (1 | plate) + (1 | sample)", 1),
  c("Pastes", "strength ~ 1 + (1 | batch:cask)", "strength ~ 1 + (1 | batch/cask)", 1)
)
level <- function(p, k) if (k == 0) as.numeric(p <= 0) else pchisq(p, k, lower.tail = FALSE)
for (pair in pairs) for (reml in c(TRUE, FALSE)) {
  frame <- rows[[pair[1]]]
  k <- as.numeric(pair[4])
  small <- if (grepl("|", pair[2], fixed = TRUE)) fit(as.formula(pair[2]), frame, reml)
           else lm(as.formula(pair[2]), frame)
  lower <- as.numeric(logLik(small, REML = reml))
  upper <- as.numeric(logLik(fit(as.formula(pair[3]), frame, reml)))
  statistic <- max(0, 2 * (upper - lower))
  method <- if (reml) "REML" else "ML"
  entries[[length(entries) + 1]] <- list(
    name = paste("ratio", pair[1], sub(".*~ ", "", pair[3]), method, sep = "_"),
    data = paste0(sets[[pair[1]]], "::", pair[1]),
    setting = paste(pair[2], "against", pair[3], method),
    values = list(logLik = c(lower, upper), statistic = statistic, df = k,
                  p_chi2 = level(statistic, k),
                  p_mixture = (level(statistic, k) + level(statistic, k - 1)) / 2),
    source = "computed")
}

# Predictions of known and of new groups.
new <- data.frame(Days = c(0, 10, 10, 10), Subject = c("308", "308", "370", "999"))
model <- fit(Reaction ~ Days + (Days | Subject), rows$sleepstudy, TRUE)
entries[[length(entries) + 1]] <- list(
  name = "predict_sleepstudy_REML", data = "lme4::sleepstudy",
  setting = "Reaction ~ Days + (Days | Subject) REML, new rows",
  values = list(Days = new$Days, Subject = new$Subject,
                known = unname(predict(model, new, allow.new.levels = TRUE)),
                none = unname(predict(model, new, re.form = NA))),
  source = "computed")
new <- data.frame(batch = c("A", "A", "Z"), cask = c("a", "z", "a"))
model <- fit(strength ~ 1 + (1 | batch/cask), rows$Pastes, TRUE)
entries[[length(entries) + 1]] <- list(
  name = "predict_Pastes_REML", data = "lme4::Pastes",
  setting = "strength ~ 1 + (1 | batch/cask) REML, new rows",
  values = list(batch = new$batch, cask = new$cask,
                known = unname(predict(model, new, allow.new.levels = TRUE)),
                none = unname(predict(model, new, re.form = NA))),
  source = "computed")

versions <- sapply(c("lme4", "lmerTest"), function(p) format(packageVersion(p)))
source <- paste0("computed with R ", R.version$major, ".", R.version$minor, ", ",
                 paste(names(versions), versions, collapse = ", "))
for (i in seq_along(entries)) entries[[i]]$source <- source
write_json(list(note = "Made by mixed_models.R; the data are in mixed_data.json.",
                entries = entries),
           file.path(directory, "mixed_models.json"), auto_unbox = TRUE, digits = NA,
           null = "null", na = "null")
