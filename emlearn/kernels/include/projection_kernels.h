/* Projections of images along parallel rays, and their transposes; in double precision.

   A pixel is a square, and its shadow on the detector is a trapezoid: a box as wide as the shadow
   of one side of the square, smoothed by a box as wide as that of the other. A bin receives the
   part of the trapezoid that is above it. 1, 4 or 8 images are worked on at once: their values at
   a pixel lie one after another. Lengths on the detector are in bins. */

#ifndef EMLEARN_PROJECTION_H
#define EMLEARN_PROJECTION_H

/* Chains of additions to the same bins that run side by side. */
#define CHAINS 4

/* One angle. The center of pixel i of line l is at start + l across + i along on the detector,
   and in slab depth + l depth_across + i depth_along, numbers that are rounded down. */
typedef struct {
    double start, along, across, depth, depth_along, depth_across;
} Angle;

typedef struct {
    const Angle *angles;
    const float *factors; /* of each pixel at each angle, or NULL */
    double scale;
    ptrdiff_t n_angles, n_lines, n_pixels, n_slabs, n_bins, n_images;
} Projection;

/* Where a line of pixels is seen: the first bin and the parts of it and of those after it. */
typedef struct {
    ptrdiff_t hits;   /* bins that a pixel may reach */
    ptrdiff_t stride; /* bins of a slab, with as many beyond each end as a pixel may reach */
    int32_t *place;   /* (n_pixels,) */
    double *part;     /* (hits, n_pixels) */
    double *bins;     /* (n_slabs, stride, n_images) */
} Shadow;

static inline double
footprint(const Angle *angle)
{
    return fabs(angle->along) + fabs(angle->across);
}

/* Bins that a shadow of this width can reach. */
static inline ptrdiff_t
hits_of(double width)
{
    return (ptrdiff_t)ceil(width) + 1;
}

/* Memory for the angles of the projection; not 0 if there is too little. */
static int
allocate_shadow(const Projection *projection, double widest, Shadow *shadow)
{
    const ptrdiff_t n = projection->n_pixels, hits = hits_of(widest);
    const ptrdiff_t stride = projection->n_bins + 2 * hits;
    size_t size = add_size(0, stride, projection->n_slabs);
    if (size > INT32_MAX) {
        return -1;
    }
    size = add_size(0, (ptrdiff_t)size, projection->n_images);
    shadow->place = aligned_memory((size_t)n, sizeof(int32_t));
    shadow->part = aligned_memory(add_size(0, n, hits), sizeof(double));
    shadow->bins = aligned_memory(size, sizeof(double));
    return shadow->place && shadow->part && shadow->bins ? 0 : -1;
}

static void
free_shadow(Shadow *shadow)
{
    aligned_free(shadow->place);
    aligned_free(shadow->part);
    aligned_free(shadow->bins);
}

/* The parts of the trapezoid of an angle. */
typedef struct {
    double half, flat, shorter, slope, bend;
} Trapezoid;

static inline Trapezoid
trapezoid_of(const Angle *angle)
{
    const double longer = fmax(fabs(angle->along), fabs(angle->across));
    const double shorter = fmin(fabs(angle->along), fabs(angle->across));
    const double slope = longer > 0.0 ? 1.0 / longer : 0.0;
    return (Trapezoid){.half = 0.5 * (longer + shorter), .flat = 0.5 * (longer - shorter),
                       .shorter = shorter, .slope = slope,
                       .bend = shorter > 0.0 ? 0.5 * slope / shorter : 0.0};
}

/* The part of the trapezoid that is below u from its center, from the tail that is nearer. */
INLINE double
area_below(const Trapezoid *shape, double u)
{
    const double distance = fabs(u);
    double inside = shape->half - distance, rest = shape->flat - distance;
    inside = inside > 0.0 ? inside : 0.0;
    inside = inside < shape->shorter ? inside : shape->shorter;
    rest = rest > 0.0 ? rest : 0.0;
    const double tail = inside * inside * shape->bend + rest * shape->slope;
    return u < 0.0 ? tail : 1.0 - tail;
}

/* The shadow of one line of pixels. What lies beyond the detector goes to the bins beyond. */
INLINE void
cast_shadow(const Projection *projection, const Angle *angle, ptrdiff_t line,
            const Shadow *shadow, ptrdiff_t hits)
{
    const ptrdiff_t n = projection->n_pixels;
    const Trapezoid shape = trapezoid_of(angle);
    const double start = angle->start + (double)line * angle->across, along = angle->along;
    const double end = (double)projection->n_bins, before = (double)hits;
    int32_t *restrict place = shadow->place;
    double *restrict part = shadow->part;

    for (ptrdiff_t i = 0; i < n; i++) {
        const double center = start + (double)(int32_t)i * along;
        double left = center - shape.half;
        left = left > -before ? left : -before;
        left = left < end ? left : end;
        place[i] = (int32_t)(left + before);
        const double first = (double)place[i] - before - center;
        double below = 0.0;
        for (ptrdiff_t j = 0; j < hits - 1; j++) {
            const double area = area_below(&shape, first + (double)(j + 1));
            part[j * n + i] = area - below;
            below = area;
        }
        part[(hits - 1) * n + i] = 1.0 - below;
    }
}

static void
cast_line(const Projection *projection, ptrdiff_t number, ptrdiff_t line, const Shadow *shadow)
{
    const Angle *angle = projection->angles + number;
    const ptrdiff_t n = projection->n_pixels, hits = shadow->hits;
    /* With constants the loop over the pixels is one of vectors. */
    switch (hits) {
    case 2: cast_shadow(projection, angle, line, shadow, 2); break;
    case 3: cast_shadow(projection, angle, line, shadow, 3); break;
    default: cast_shadow(projection, angle, line, shadow, hits);
    }
    if (projection->factors) {
        const float *restrict factor =
            projection->factors + (number * projection->n_lines + line) * n;
        for (ptrdiff_t j = 0; j < hits; j++) {
            double *restrict part = shadow->part + j * n;
            for (ptrdiff_t i = 0; i < n; i++) {
                part[i] *= (double)factor[i];
            }
        }
    }
    if (projection->n_slabs > 1) {
        const double depth = angle->depth + (double)line * angle->depth_across;
        const double last = (double)(projection->n_slabs - 1);
        const int32_t stride = (int32_t)shadow->stride;
        int32_t *restrict place = shadow->place;
        for (ptrdiff_t i = 0; i < n; i++) {
            double slab = depth + (double)(int32_t)i * angle->depth_along;
            slab = slab > 0.0 ? slab : 0.0;
            slab = slab < last ? slab : last;
            place[i] += (int32_t)slab * stride;
        }
    }
}

/* The values of 1, 4 or 8 images at a pixel or a bin; vectors of any processor. */
typedef double Values1;
typedef double Values4 __attribute__((vector_size(32), aligned(8), may_alias));
typedef double Values8 __attribute__((vector_size(64), aligned(8), may_alias));

/* add_line: add the values of the pixels to the bins that see them. Neighbors add to the same
   bins and have to wait for each other, so pixels far apart are worked on side by side.

   gather_line: add to the pixels what the bins that see them have. */
#define LINES_OF(VALUES) \
    INLINE void add_pixel_##VALUES(const Shadow *shadow, ptrdiff_t n, ptrdiff_t i, \
                                   const VALUES *restrict values, ptrdiff_t hits) \
    { \
        VALUES *restrict bins = (VALUES *)shadow->bins + shadow->place[i]; \
        for (ptrdiff_t j = 0; j < hits; j++) { \
            bins[j] += values[i] * shadow->part[j * n + i]; \
        } \
    } \
\
    INLINE void add_line_##VALUES(const Shadow *shadow, ptrdiff_t n, const double *from, \
                                  ptrdiff_t hits) \
    { \
        const VALUES *values = (const VALUES *)from; \
        const ptrdiff_t chain = n / CHAINS; \
        for (ptrdiff_t i = 0; i < chain; i++) { \
            UNROLL \
            for (ptrdiff_t c = 0; c < CHAINS; c++) { \
                add_pixel_##VALUES(shadow, n, i + c * chain, values, hits); \
            } \
        } \
        for (ptrdiff_t i = CHAINS * chain; i < n; i++) { \
            add_pixel_##VALUES(shadow, n, i, values, hits); \
        } \
    } \
\
    INLINE void gather_line_##VALUES(const Shadow *shadow, ptrdiff_t n, double scale, \
                                     double *to, ptrdiff_t hits) \
    { \
        VALUES *restrict values = (VALUES *)to; \
        for (ptrdiff_t i = 0; i < n; i++) { \
            const VALUES *restrict bins = (const VALUES *)shadow->bins + shadow->place[i]; \
            VALUES sum = bins[0] * shadow->part[i]; \
            for (ptrdiff_t j = 1; j < hits; j++) { \
                sum += bins[j] * shadow->part[j * n + i]; \
            } \
            values[i] += sum * scale; \
        } \
    }

LINES_OF(Values1)
LINES_OF(Values4)
LINES_OF(Values8)

/* Calls a function with a constant number of hits where it is one of the usual numbers. */
#define WITH_HITS(function, ...) \
    switch (shadow->hits) { \
    case 2: function(shadow, __VA_ARGS__, 2); break; \
    case 3: function(shadow, __VA_ARGS__, 3); break; \
    default: function(shadow, __VA_ARGS__, shadow->hits); \
    } \
    break;
#define WITH_VALUES(function, ...) \
    switch (n_images) { \
    case 1: WITH_HITS(function##_Values1, __VA_ARGS__) \
    case 4: WITH_HITS(function##_Values4, __VA_ARGS__) \
    case 8: WITH_HITS(function##_Values8, __VA_ARGS__) \
    }

static void
add_line(const Shadow *shadow, ptrdiff_t n, const double *values, ptrdiff_t n_images)
{
    WITH_VALUES(add_line, n, values)
}

static void
gather_line(const Shadow *shadow, ptrdiff_t n, double scale, double *values, ptrdiff_t n_images)
{
    WITH_VALUES(gather_line, n, scale, values)
}

/* The bins of one angle, with those beyond the detector. */
static void
fit_angle(const Projection *projection, ptrdiff_t number, Shadow *shadow)
{
    shadow->hits = hits_of(footprint(projection->angles + number));
    shadow->stride = projection->n_bins + 2 * shadow->hits;
    memset(shadow->bins, 0,
           (size_t)(projection->n_slabs * shadow->stride * projection->n_images) *
               sizeof(double));
}

/* See projection_bindings.h. */
static void
project_all(const Projection *projection, const double *images, double *out, Shadow *shadow)
{
    const ptrdiff_t n = projection->n_pixels, n_images = projection->n_images;
    const ptrdiff_t size = projection->n_bins * n_images;
    for (ptrdiff_t a = 0; a < projection->n_angles; a++) {
        fit_angle(projection, a, shadow);
        for (ptrdiff_t line = 0; line < projection->n_lines; line++) {
            cast_line(projection, a, line, shadow);
            add_line(shadow, n, images + line * n * n_images, n_images);
        }
        for (ptrdiff_t slab = 0; slab < projection->n_slabs; slab++) {
            const double *restrict bins =
                shadow->bins + (slab * shadow->stride + shadow->hits) * n_images;
            for (ptrdiff_t i = 0; i < size; i++) {
                out[i] = projection->scale * bins[i];
            }
            out += size;
        }
    }
}

/* See projection_bindings.h. */
static void
backproject_all(const Projection *projection, const double *rays, ptrdiff_t first,
                ptrdiff_t last, double *images, Shadow *shadow)
{
    const ptrdiff_t n = projection->n_pixels, n_images = projection->n_images;
    const ptrdiff_t size = projection->n_bins * n_images;
    memset(images + first * n * n_images, 0,
           (size_t)((last - first) * n * n_images) * sizeof(double));
    for (ptrdiff_t a = 0; a < projection->n_angles; a++) {
        fit_angle(projection, a, shadow);
        for (ptrdiff_t slab = 0; slab < projection->n_slabs; slab++) {
            memcpy(shadow->bins + (slab * shadow->stride + shadow->hits) * n_images, rays,
                   (size_t)size * sizeof(double));
            rays += size;
        }
        for (ptrdiff_t line = first; line < last; line++) {
            cast_line(projection, a, line, shadow);
            gather_line(shadow, n, projection->scale, images + line * n * n_images,
                            n_images);
        }
    }
}

#endif
