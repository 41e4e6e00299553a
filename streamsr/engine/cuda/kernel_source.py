"""The CUDA source of the conversions between 4:2:0 planes and a network's pixels.

One thread makes one pixel. No header is included, so that NVRTC needs nothing but itself; a test
compiles the same text as C++ and runs it on a CPU. Filters are Keys' bicubic as
``networks/resample.py`` has it, wider where a plane shrinks, and borders are mirrored with the
edge sample repeated.
"""

__all__ = ["KERNELS", "kernel_source"]

KERNELS = ("luma_in", "rgb_in", "luma_out", "chroma_resized", "rgb_to_luma", "rgb_to_chroma")
"""Each with one thread a pixel of what it writes: (columns, rows, planes)."""


def kernel_source(*, half: bool) -> str:
    """The source whose kernels write the network's pixels as float32, or float16 with ``half``."""
    return (_HALF_PIXELS if half else _FLOAT_PIXELS) + _SOURCE


_FLOAT_PIXELS = r"""
typedef float pixel;
__device__ inline pixel stored(float value) { return value; }
"""
_HALF_PIXELS = r"""
typedef unsigned short pixel;
__device__ inline pixel stored(float value)
{
    pixel bits;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(value));
    return bits;
}
"""
_SOURCE = r"""
typedef unsigned char sample;

__device__ inline int column() { return blockIdx.x * blockDim.x + threadIdx.x; }
__device__ inline int row() { return blockIdx.y * blockDim.y + threadIdx.y; }

__device__ inline float cubic(float x)
{
    x = fabsf(x);
    if (x <= 1.0f) return (1.5f * x - 2.5f) * x * x + 1.0f;
    if (x < 2.0f) return ((-0.5f * x + 2.5f) * x - 4.0f) * x + 2.0f;
    return 0.0f;
}

__device__ inline int mirrored(int index, int length)
{
    index %= 2 * length;
    if (index < 0) index += 2 * length;
    return index < length ? index : 2 * length - 1 - index;
}

// where an output sample lies among the input's, on an axis that goes from `before` to `after`:
// `centre` from input sample `origin`, exact whatever the column; and the taps from there that its
// filter has, which spreads where the plane shrinks
struct place { int origin, first, last; float centre, spread; };

__device__ inline place placed(int output, int before, int after, float shift)
{
    long long twice = (2LL * output + 1) * before;
    place at;
    at.origin = (int)(twice / (2LL * after));
    at.centre = (float)(twice % (2LL * after)) / (2.0f * after) - 0.5f + shift;
    at.spread = after < before ? (float)before / after : 1.0f;
    at.first = (int)ceilf(at.centre - 2.0f * at.spread);
    at.last = (int)floorf(at.centre + 2.0f * at.spread);
    return at;
}

__device__ inline float weight(place at, int tap) { return cubic((tap - at.centre) / at.spread); }

// `plane` resized, at one output sample
__device__ inline float resized(const sample* __restrict__ plane, int height, int width,
                                place down, place across)
{
    float sum = 0.0f, all_rows = 0.0f, all_columns = 0.0f;
    for (int j = across.first; j <= across.last; ++j) all_columns += weight(across, j);
    for (int i = down.first; i <= down.last; ++i) {
        const sample* line = plane + (size_t)mirrored(down.origin + i, height) * width;
        float part = 0.0f;
        for (int j = across.first; j <= across.last; ++j)
            part += weight(across, j) * line[mirrored(across.origin + j, width)];
        sum += weight(down, i) * part;
        all_rows += weight(down, i);
    }
    return sum / (all_rows * all_columns);
}

__device__ inline sample rounded(float level)
{
    return (sample)fminf(fmaxf(rintf(level), 0.0f), 255.0f);
}

__device__ inline float unit(float value) { return fminf(fmaxf(value, 0.0f), 1.0f); }

__device__ inline bool finite(float value) { return fabsf(value) <= 3.402823466e38f; }

// luma plane to (1, rows, columns): what lies outside of it is its edge
extern "C" __global__ void luma_in(const sample* __restrict__ luma, int height, int width,
                                   pixel* __restrict__ out, int rows, int columns,
                                   int full_range)
{
    int x = column(), y = row();
    if (x >= columns || y >= rows) return;
    float level = luma[(size_t)min(y, height - 1) * width + min(x, width - 1)];
    if (full_range) level = level * (219.0f / 255.0f) + 16.0f;
    out[(size_t)y * columns + x] = stored(level / 255.0f);
}

// 4:2:0 planes to (3, rows, columns) R'G'B'
extern "C" __global__ void rgb_in(const sample* __restrict__ luma, const sample* __restrict__ blue,
                                  const sample* __restrict__ red, int height, int width,
                                  pixel* __restrict__ out, int rows, int columns, float shift,
                                  float black, float luma_span, float chroma_span,
                                  float kr, float kb)
{
    int x = column(), y = row();
    if (x >= columns || y >= rows) return;
    int px = min(x, width - 1), py = min(y, height - 1);
    int half_height = (height + 1) / 2, half_width = (width + 1) / 2;
    place down = placed(py, 1, 2, 0.0f), across = placed(px, 1, 2, shift);
    float cb = (resized(blue, half_height, half_width, down, across) - 128.0f) / chroma_span;
    float cr = (resized(red, half_height, half_width, down, across) - 128.0f) / chroma_span;
    float level = (luma[(size_t)py * width + px] - black) / luma_span;
    float r = level + 2.0f * (1.0f - kr) * cr;
    float b = level + 2.0f * (1.0f - kb) * cb;
    size_t at = (size_t)y * columns + x, plane = (size_t)rows * columns;
    out[at] = stored(r);
    out[at + plane] = stored((level - kr * r - kb * b) / (1.0f - kr - kb));
    out[at + 2 * plane] = stored(b);
}

// the network's luma, its rows `down` and columns `across` apart, to a luma plane
extern "C" __global__ void luma_out(const float* __restrict__ output, int down, int across,
                                    sample* __restrict__ luma, int height, int width,
                                    int full_range, int* __restrict__ bad)
{
    int x = column(), y = row();
    if (x >= width || y >= height) return;
    float value = output[(size_t)y * down + (size_t)x * across];
    if (!finite(value)) *bad = 1;
    float level = value * 255.0f;
    if (full_range) level = (level - 16.0f) * (255.0f / 219.0f);
    luma[(size_t)y * width + x] = rounded(level);
}

// both chroma planes (height, width) to (rows, columns), where luma goes from (height_before,
// width_before) to (height_after, width_after)
extern "C" __global__ void chroma_resized(const sample* __restrict__ blue,
                                          const sample* __restrict__ red, int height, int width,
                                          sample* __restrict__ blue_out,
                                          sample* __restrict__ red_out, int rows, int columns,
                                          int height_before, int width_before,
                                          int height_after, int width_after, float shift)
{
    int x = column(), y = row();
    if (x >= columns || y >= rows) return;
    const sample* from = blockIdx.z ? red : blue;
    sample* to = blockIdx.z ? red_out : blue_out;
    place down = placed(y, height_before, height_after, 0.0f);
    place across = placed(x, width_before, width_after, shift);
    to[(size_t)y * columns + x] = rounded(resized(from, height, width, down, across));
}

// the network's R'G'B', planes `plane`, rows `down` and columns `across` apart, to a luma plane
extern "C" __global__ void rgb_to_luma(const float* __restrict__ output, long long plane,
                                       int down, int across, sample* __restrict__ luma,
                                       int height, int width, float black, float span,
                                       float kr, float kb, int* __restrict__ bad)
{
    int x = column(), y = row();
    if (x >= width || y >= height) return;
    const float* at = output + (size_t)y * down + (size_t)x * across;
    float r = at[0], g = at[plane], b = at[2 * plane];
    if (!finite(r) || !finite(g) || !finite(b)) *bad = 1;
    float level = kr * unit(r) + (1.0f - kr - kb) * unit(g) + kb * unit(b);
    luma[(size_t)y * width + x] = rounded(level * span + black);
}

// ... and to both chroma planes, half of (height, width): filtered, since neighbours fold in
extern "C" __global__ void rgb_to_chroma(const float* __restrict__ output, long long plane,
                                         int down, int across, int height, int width,
                                         sample* __restrict__ blue, sample* __restrict__ red,
                                         float shift, float span, float kr, float kb)
{
    int x = column(), y = row(), half_width = (width + 1) / 2;
    if (x >= half_width || y >= (height + 1) / 2) return;
    float columns[8];
    size_t places[8];
    for (int j = 0; j < 8; ++j) {
        columns[j] = 0.5f * cubic((j - 3.5f - shift) * 0.5f);
        places[j] = (size_t)mirrored(2 * x + j - 3, width) * across;
    }
    float r = 0.0f, g = 0.0f, b = 0.0f;
    for (int i = 0; i < 8; ++i) {
        const float* line = output + (size_t)mirrored(2 * y + i - 3, height) * down;
        float weight = 0.5f * cubic((i - 3.5f) * 0.5f);
        for (int j = 0; j < 8; ++j) {
            const float* at = line + places[j];
            r += weight * columns[j] * unit(at[0]);
            g += weight * columns[j] * unit(at[plane]);
            b += weight * columns[j] * unit(at[2 * plane]);
        }
    }
    float level = kr * r + (1.0f - kr - kb) * g + kb * b;
    size_t at = (size_t)y * half_width + x;
    blue[at] = rounded((b - level) / (2.0f * (1.0f - kb)) * span + 128.0f);
    red[at] = rounded((r - level) / (2.0f * (1.0f - kr)) * span + 128.0f);
}
"""
