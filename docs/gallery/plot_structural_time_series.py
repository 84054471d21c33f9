"""
A series as trend, seasons and noise
====================================

Monthly numbers of airline passengers grow, and they have seasons that grow with them. Logarithms
make that a sum. A structural time series finds the parts, says how much each of them changes, and
continues them. The data are those of Box and Jenkins, 1949 to 1960, in thousands.
"""

import matplotlib.pyplot as plt
import numpy as np

from emlearn import StructuralTimeSeriesEM

PASSENGERS = """
    112 118 132 129 121 135 148 148 136 119 104 118 115 126 141 135 125 149
    170 170 158 133 114 140 145 150 178 163 172 178 199 199 184 162 146 166
    171 180 193 181 183 218 230 242 209 191 172 194 196 196 236 235 229 243
    264 272 237 211 180 201 204 188 235 227 234 264 302 293 259 229 203 229
    242 233 267 269 270 315 364 347 312 274 237 278 284 277 317 313 318 374
    413 405 355 306 271 306 315 301 356 348 355 422 465 467 404 347 305 336
    340 318 362 348 363 435 491 505 404 359 310 337 360 342 406 396 420 472
    548 559 463 407 362 405 417 391 419 461 472 535 622 606 508 461 390 432
"""
X = np.log(np.array(PASSENGERS.split(), float))[:, None]
years = 1949 + np.arange(len(X)) / 12

# %%
# The last two years are kept back, and half a year is made missing. The fit takes both as they are.

known = X[:-24].copy()
known[60:66] = np.nan
model = StructuralTimeSeriesEM("local linear", seasonal=12, random_state=0).fit(known)
print(model.inference(known))

# %%
# The slope does not move: its variance is at the bound 0. The parts, given all rows:

parts = model.components(known)
ahead, deviation = model.forecast(24, return_std=True)
error = np.sqrt(np.mean((ahead - X[-24:]) ** 2))
print(f"root mean square error of the forecast: {error:.3f} (about {100 * error:.0f} %)")

figure, axes = plt.subplots(3, 1, figsize=(8, 8), sharex=True)
axes[0].plot(years, np.exp(X), color="black", lw=1, label="passengers")
axes[0].plot(years[:-24], np.exp(parts.trend), label="trend")
low, high = (np.exp(ahead + side * 1.96 * deviation)[:, 0] for side in (-1, 1))
axes[0].fill_between(years[-24:], low, high, color="C3", alpha=0.3, label="95 %")
axes[0].plot(years[-24:], np.exp(ahead), color="C3", label="forecast")
axes[0].set_ylabel("thousands")
axes[0].legend()
axes[1].plot(years[:-24], 100 * (np.exp(parts.seasonal) - 1), color="C1")
axes[1].set_ylabel("seasons, %")
left = known[:, 0] - parts.trend - parts.seasonal
axes[2].plot(years[:-24], 100 * left, ".", color="C2")
axes[2].axvspan(years[60], years[66], color="0.9", label="missing")
axes[2].set(ylabel="irregular, %", xlabel="year")
axes[2].legend()
figure.tight_layout()
plt.show()
