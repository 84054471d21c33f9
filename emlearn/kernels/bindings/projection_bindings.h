/* Projections of images along parallel rays. */

/* The projection that the arguments describe; an exception if there is none. `factors` is the
   number of the argument. */
static int
read_projection(Call *call, int geometry, int factors, double scale, Projection *projection,
                double *widest)
{
    const Angle *angles = call->data[geometry];
    const double *numbers = call->data[geometry];
    const ptrdiff_t n_angles = SIZE(*call, 'A');
    if (SIZE(*call, 'G') != 6) {
        return refuse(call, PyExc_ValueError, "there must be 6 numbers of each angle");
    }
    if (SIZE(*call, 'K') != 1 && SIZE(*call, 'K') != 4 && SIZE(*call, 'K') != 8) {
        return refuse(call, PyExc_ValueError, "there must be 1, 4 or 8 images");
    }
    if (SIZE(*call, 'N') > INT32_MAX) {
        return refuse(call, PyExc_ValueError, "there are too many pixels of a line");
    }
    for (ptrdiff_t i = 0; i < 6 * n_angles; i++) {
        if (!isfinite(numbers[i])) {
            return refuse(call, PyExc_ValueError, "the geometry is not finite");
        }
    }
    *widest = 0.0;
    for (ptrdiff_t a = 0; a < n_angles; a++) {
        *widest = fmax(*widest, footprint(angles + a));
    }
    if (*widest > 65536.0) {
        return refuse(call, PyExc_ValueError, "a pixel is seen by too many bins");
    }
    *projection = (Projection){.angles = angles, .factors = call->data[factors], .scale = scale,
                               .n_angles = n_angles, .n_lines = SIZE(*call, 'L'),
                               .n_pixels = SIZE(*call, 'N'), .n_slabs = SIZE(*call, 'S'),
                               .n_bins = SIZE(*call, 'B'), .n_images = SIZE(*call, 'K')};
    return 1;
}

/* project_lines(images, geometry, factors, scale, out)

   images    (lines, pixels of a line, images), of 1, 4 or 8 images
   geometry  start, along, across, depth, depth_along and depth_across of each angle; see
             projection_kernels.h
   factors   of each pixel at each angle, or None
   out       what each bin sees of each slab, times the scale: (angles, slabs, bins, images): out */
static PyObject *
project_lines(PyObject *Py_UNUSED(module), PyObject *const *arguments, Py_ssize_t n_arguments)
{
    static const Parameter parameters[] = {
        {"images", "d", "LNK", READ},    {"geometry", "d", "AG", PRIVATE},
        {"factors", "f", "ALN", OPTIONAL}, {"scale", "#", "", READ},
        {"out", "d", "ASBK", WRITE},
    };
    Call call;
    Projection projection;
    Shadow shadow = {0};
    double widest;
    if (!READ_ARGUMENTS(&call, "project_lines", parameters) ||
        !read_projection(&call, 1, 2, call.number[3], &projection, &widest)) {
        return NULL;
    }
    const int status = allocate_shadow(&projection, widest, &shadow);
    if (status == 0) {
        Py_BEGIN_ALLOW_THREADS
        project_all(&projection, call.data[0], call.data[4], &shadow);
        Py_END_ALLOW_THREADS
    }
    free_shadow(&shadow);
    return finish(&call, nothing_or_no_memory(status));
}

/* backproject_lines(rays, geometry, factors, scale, first, last, images)

   The transpose of project_lines, of the lines from `first` to before `last`; the others are left
   alone.

   rays    (angles, slabs, bins, images)
   images  (lines, pixels of a line, images): out */
static PyObject *
backproject_lines(PyObject *Py_UNUSED(module), PyObject *const *arguments,
                  Py_ssize_t n_arguments)
{
    static const Parameter parameters[] = {
        {"rays", "d", "ASBK", READ},       {"geometry", "d", "AG", PRIVATE},
        {"factors", "f", "ALN", OPTIONAL}, {"scale", "#", "", READ},
        {"first", "#", "", READ},          {"last", "#", "", READ},
        {"images", "d", "LNK", WRITE},
    };
    Call call;
    Projection projection;
    Shadow shadow = {0};
    double widest;
    if (!READ_ARGUMENTS(&call, "backproject_lines", parameters) ||
        !read_projection(&call, 1, 2, call.number[3], &projection, &widest)) {
        return NULL;
    }
    const double first = call.number[4], last = call.number[5];
    if (!(first >= 0.0 && first <= last && last <= (double)projection.n_lines)) {
        refuse(&call, PyExc_ValueError, "there are no such lines");
        return NULL;
    }
    const int status = allocate_shadow(&projection, widest, &shadow);
    if (status == 0) {
        Py_BEGIN_ALLOW_THREADS
        backproject_all(&projection, call.data[0], (ptrdiff_t)first, (ptrdiff_t)last,
                        call.data[6], &shadow);
        Py_END_ALLOW_THREADS
    }
    free_shadow(&shadow);
    return finish(&call, nothing_or_no_memory(status));
}
