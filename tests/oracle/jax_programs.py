"""Run many different JAX programs on the CPU and profile them.

    python -m venv VENV && VENV/bin/pip install jax
    VENV/bin/python tests/oracle/jax_programs.py OUT.xplane.pb

Each function below becomes one HLO module of the trace: control flow, convolutions, sorting, random numbers, linear algebra,
narrow types, dynamic shapes, custom calls, collectives over eight virtual devices. A program that this version of JAX cannot run
is named and left out; with too few left there is no trace.
"""
import os
import pathlib
import shutil
import sys
import tempfile

os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=8"
os.environ["JAX_PLATFORMS"] = "cpu"

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
from jax import lax
from jax.experimental import sparse
from jax.experimental import io_callback
from jax.sharding import Mesh, NamedSharding, PartitionSpec as P

jax.config.update("jax_enable_x64", True)

PROGRAMS = []
# So many different programs must be left in the trace.
N_LEAST = 100
N_DEVICES = 8
RNG = np.random.default_rng(0)


def program(*args, **options):
    """Registers a function under its name, with the arguments it is run with and the options of `jax.jit`."""

    def register(function):
        PROGRAMS.append((function, args, options))
        return function

    return register


def f32(*shape):
    return RNG.normal(size=shape).astype(np.float32)


def s32(*shape, high=8):
    return RNG.integers(0, high, size=shape).astype(np.int32)


def narrow(dtype, *shape):
    return (RNG.integers(0, 2, size=shape)).astype(dtype)


def mesh():
    return Mesh(np.array(jax.devices()).reshape(4, 2), ("x", "y"))


def over_devices(in_specs, out_specs):
    """Runs a function once per device of the mesh."""
    return lambda f: jax.shard_map(f, mesh=mesh(), in_specs=in_specs, out_specs=out_specs, check_vma=False)


# --- control flow -------------------------------------------------------------------------------------------------------


@program(f32(4), 5)
def loop_while(x, n):
    return lax.while_loop(lambda c: c[1] < n, lambda c: (jnp.sin(c[0]), c[1] + 1), (x, 0))


@program(f32(4, 4))
def loop_fori_nested(x):
    return lax.fori_loop(0, 3, lambda i, a: lax.fori_loop(0, i, lambda j, b: b @ x + j, a), x)


@program(f32(6, 3), f32(3))
def loop_scan(xs, init):
    return lax.scan(lambda c, x: (c * x, (c + x, c.sum())), init, xs)


@program(f32(6, 3))
def loop_scan_reverse_unrolled(xs):
    return lax.scan(lambda c, x: (c + x, c), xs[0], xs, reverse=True, unroll=2)


@program(f32(5), f32(5))
def gradient_of_scan(x, w):
    return jax.grad(lambda w: lax.scan(lambda c, v: (jnp.tanh(c * w + v).sum() * w, c), w, x)[0].sum())(w)


@program(f32(8))
def associative_scan(x):
    return lax.associative_scan(jnp.multiply, x), lax.associative_scan(lambda a, b: a @ b, x.reshape(2, 2, 2))


@program(True, f32(4))
def branch_cond(p, x):
    return lax.cond(p, jnp.sin, lambda v: v * 2, x)


@program(2, f32(4))
def branch_switch(i, x):
    return lax.switch(i, [jnp.sin, jnp.cos, lambda v: v**3, lambda v: jnp.sort(v)], x)


@program(f32(4, 3), s32(4, high=3))
def branch_under_vmap(x, i):
    return jax.vmap(lambda v, k: lax.switch(k, [jnp.sin, jnp.cos, jnp.abs], v))(x, i)


@program(f32(16), f32(16))
def loop_map(x, y):
    return lax.map(lambda ab: ab[0] ** ab[1], (x, y), batch_size=4)


# --- convolutions -------------------------------------------------------------------------------------------------------


def conv(x, w, strides, padding, **options):
    n = x.ndim - 2
    space = "DHW"[-n:]
    numbers = (f"N{space}C", f"{space}IO", f"N{space}C")
    return lax.conv_general_dilated(x, w, strides, padding, dimension_numbers=numbers, **options)


@program(f32(2, 16, 3), f32(5, 3, 4))
def conv_1d(x, w):
    return conv(x, w, (2,), "SAME")


@program(f32(2, 8, 8, 3), f32(3, 3, 3, 4))
def conv_2d(x, w):
    return jax.nn.relu(conv(x, w, (1, 1), "SAME"))


@program(f32(1, 5, 6, 7, 2), f32(2, 3, 2, 2, 3))
def conv_3d(x, w):
    return conv(x, w, (1, 2, 1), "VALID")


@program(f32(2, 8, 8, 4), f32(3, 3, 2, 6))
def conv_grouped(x, w):
    return conv(x, w, (1, 1), ((1, 0), (0, 2)), feature_group_count=2)


@program(f32(2, 8, 8, 4), f32(3, 3, 1, 4))
def conv_depthwise(x, w):
    return conv(x, w, (1, 1), "SAME", feature_group_count=4)


@program(f32(2, 8, 8, 2), f32(3, 3, 2, 4))
def conv_dilated(x, w):
    return conv(x, w, (1, 1), ((1, 2), (3, 3)), lhs_dilation=(2, 1), rhs_dilation=(1, 3))


@program(f32(4, 8, 8, 2), f32(3, 3, 2, 4))
def conv_batch_grouped(x, w):
    return conv(x, w, (1, 1), "SAME", batch_group_count=2)


@program(f32(2, 3, 8, 8), f32(4, 3, 3, 3))
def conv_nchw_highest(x, w):
    return lax.conv_general_dilated(x, w, (1, 1), "SAME", precision=lax.Precision.HIGHEST)


@program(f32(2, 5, 5, 3), f32(3, 3, 3, 2))
def conv_transposed(x, w):
    return lax.conv_transpose(x, w, (2, 2), "SAME")


@program(f32(8, 32, 32, 3), f32(3, 3, 3, 8))
def gradients_of_conv(x, w):
    return jax.grad(lambda x, w: (conv(x, w, (1, 1), "SAME") ** 2).sum(), argnums=(0, 1))(x, w)


# --- dots ---------------------------------------------------------------------------------------------------------------


@program(f32(64, 32), f32(32, 16))
def dot_plain(a, b):
    return a @ b


@program(f32(3, 4, 5), f32(3, 5, 2))
def dot_batched(a, b):
    return jnp.einsum("bij,bjk->bik", a, b, precision="high")


@program(f32(2, 3, 4), f32(4, 3, 5))
def dot_two_contracting(a, b):
    return jnp.einsum("abc,cbd->ad", a, b)


@program(f32(8), f32(8))
def dot_vectors(a, b):
    return jnp.vdot(a, b), jnp.outer(a, b)


@program(f32(6, 4), f32(2, 4, 3), np.array([2, 4], np.int32))
def dot_ragged(a, b, sizes):
    return lax.ragged_dot(a, b, sizes)


@program(RNG.integers(-9, 9, (8, 8)).astype(np.int8), RNG.integers(-9, 9, (8, 8)).astype(np.int8))
def dot_int8(a, b):
    return lax.dot(a, b, preferred_element_type=np.int32)


@program(f32(8, 8).astype(ml_dtypes.bfloat16), f32(8, 8).astype(ml_dtypes.bfloat16))
def dot_bf16_algorithm(a, b):
    return lax.dot(a, b, precision=lax.DotAlgorithmPreset.BF16_BF16_F32, preferred_element_type=np.float32)


@program(*(f32(2, 64, 4, 32) for _ in range(3)))
def attention(q, k, v):
    return jax.nn.dot_product_attention(q, k, v, is_causal=True)


# --- sorting, indexing --------------------------------------------------------------------------------------------------


@program(f32(4, 9))
def sort_one(x):
    return jnp.sort(x, axis=0)


@program(f32(12), s32(12), f32(12))
def sort_several_keys(a, b, c):
    return lax.sort((b, a, c), num_keys=2, is_stable=True)


@program(f32(7))
def sort_arguments_descending(x):
    return jnp.argsort(x, descending=True), jnp.median(x)


@program(f32(3, 20))
def top_k(x):
    return lax.top_k(x, 4)


@program(f32(3, 2000))
def approximate_top_k(x):
    return lax.approx_max_k(x, 3)


@program(f32(5, 6), s32(3, high=5))
def gather_rows(x, i):
    return x[i], jnp.take(x, i, axis=1, mode="fill")


@program(f32(5, 6, 2), s32(4, 2, high=5))
def gather_points(x, i):
    return x[i[:, 0], i[:, 1]], jnp.take_along_axis(x[:, :4], i[None, :, :1] % 2, axis=2)


@program(f32(3, 5, 6), s32(3, 2, high=5))
def gather_batched(x, i):
    return jax.vmap(lambda v, k: v[k])(x, i)


@program(f32(5, 6), s32(3, high=5), f32(3, 6))
def scatter_set_and_add(x, i, v):
    return x.at[i].set(v), x.at[i].add(v, unique_indices=True, indices_are_sorted=True)


@program(f32(5, 6), s32(3, high=5), f32(3, 6))
def scatter_other(x, i, v):
    return x.at[i].multiply(v), x.at[i].max(v), x.at[i].min(v), x.at[i].apply(jnp.sin)


@program(f32(3, 5, 6), s32(3, 2, high=5), f32(3, 2, 6))
def scatter_batched(x, i, v):
    return jax.vmap(lambda a, k, b: a.at[k].add(b))(x, i, v)


@program(f32(20), s32(20, high=4))
def segment_sum(x, i):
    return jax.ops.segment_sum(x, i, 4), jnp.bincount(i, length=4)


@program(f32(8, 8), 3, 2)
def dynamic_slices(x, i, j):
    return lax.dynamic_slice(x, (i, j), (2, 3)), lax.dynamic_update_slice(x, x[:2, :2], (i, j))


@program(f32(9, 8))
def slices_strided(x):
    return x[1:8:3, ::2], x[::-1], jnp.roll(x, 2, axis=1)


@program(f32(10), 0.3)
def search_sorted(x, v):
    return jnp.searchsorted(jnp.sort(x), v), jnp.histogram(x, bins=4), jnp.unique(x, size=5)


# --- Fourier, random numbers --------------------------------------------------------------------------------------------


@program(f32(4, 16))
def fft_forward(x):
    return jnp.fft.fft(x), jnp.fft.rfft(x), jnp.fft.fft2(x.reshape(8, 8))


@program(f32(4, 16))
def fft_inverse(x):
    return jnp.fft.irfft(jnp.fft.rfft(x)), jnp.fft.ifftn(x.reshape(4, 4, 4))


@program(7)
def random_threefry(seed):
    key = jax.random.key(seed, impl="threefry2x32")
    a, b = jax.random.split(key)
    return jax.random.normal(a, (5, 3)), jax.random.permutation(b, 10)


@program(7)
def random_rbg(seed):
    key = jax.random.key(seed, impl="rbg")
    return jax.random.uniform(key, (5, 3)), jax.random.bits(jax.random.split(key)[0], (4,), np.uint8)


@program(7)
def random_unsafe_rbg(seed):
    return jax.random.gumbel(jax.random.key(seed, impl="unsafe_rbg"), (5,))


@program(np.arange(4, dtype=np.uint32))
def random_bit_generator(key):
    return [lax.rng_bit_generator(key, (3,), algorithm=a) for a in (lax.RandomAlgorithm.RNG_PHILOX, lax.RandomAlgorithm.RNG_THREE_FRY)]


@program(np.float32(0), np.float32(1))
def random_uniform_op(a, b):
    return lax.rng_uniform(a, b, (4,))


@program(3)
def random_distributions(seed):
    key = jax.random.key(seed)
    return jax.random.gamma(key, 2.0, (3,)), jax.random.poisson(key, 4.0, (3,)), jax.random.categorical(key, jnp.zeros(4))


# --- linear algebra, callbacks ------------------------------------------------------------------------------------------


def positive(n):
    a = f32(n, n)
    return a @ a.T + n * np.eye(n, dtype=np.float32)


@program(positive(4))
def linalg_cholesky(a):
    return jnp.linalg.cholesky(a)


@program(positive(4), f32(4, 2))
def linalg_triangular_solve(a, b):
    return lax.linalg.triangular_solve(a, b, left_side=True, lower=True, transpose_a=True, unit_diagonal=True)


@program(positive(4))
def linalg_eigh(a):
    return jnp.linalg.eigh(a)


@program(f32(5, 3))
def linalg_qr(a):
    return jnp.linalg.qr(a)


@program(f32(5, 3))
def linalg_svd(a):
    return jnp.linalg.svd(a, full_matrices=False)


@program(positive(4), f32(4))
def linalg_solve(a, b):
    return jnp.linalg.solve(a, b), jnp.linalg.inv(a), jnp.linalg.slogdet(a)


@program(f32(4, 4))
def linalg_eig(a):
    return jnp.linalg.eig(a)


@program(f32(4))
def callback_pure(x):
    return jax.pure_callback(lambda v: np.asarray(v) * 2, jax.ShapeDtypeStruct((4,), np.float32), x) + 1


@program(f32(4))
def callback_io_ordered(x):
    a = io_callback(lambda v: np.asarray(v), jax.ShapeDtypeStruct((4,), np.float32), x, ordered=True)
    return io_callback(lambda v: np.asarray(v) + 1, jax.ShapeDtypeStruct((4,), np.float32), a, ordered=True)


@program(f32(4))
def callback_debug(x):
    jax.debug.callback(lambda v: None, x)
    return x * 2


@program(positive(4))
def custom_call_direct(a):
    from jaxlib import lapack

    target = lapack.prepare_lapack_call("potrf_ffi", a.dtype)
    shapes = jax.ShapeDtypeStruct(a.shape, a.dtype), jax.ShapeDtypeStruct((), np.int32)
    return jax.ffi.ffi_call(target, shapes)(a, uplo=np.uint8(ord("L")))


@program(f32(3, 4))
def custom_calls_batched(x):
    double = lambda v: np.asarray(v) * 2
    once = lambda v: jax.pure_callback(double, jax.ShapeDtypeStruct(v.shape, v.dtype), v, vmap_method="sequential")
    return jax.vmap(once)(x), once(x)


# --- dynamic shapes -----------------------------------------------------------------------------------------------------

# JAX itself has none that a CPU runs: symbolic shapes of `jax.export` are fixed when they are called. XLA has extents that vary up
# to a bound. They are made static inside a program, and stay in its result: `f32[<=8]`.


def bounded(name, body, *args):
    """Registers a program in StableHLO that gives a bounded result; `body` is that of its function."""

    class Bounded:
        def __init__(self):
            from jax._src.interpreters import mlir
            from jax._src.lib import xla_client
            from jax._src.lib.mlir import ir

            device = jax.local_devices()[0]
            with mlir.make_ir_context():
                code = mlir.module_to_bytecode(ir.Module.parse(f"module @{name} {{ func.func public @main{body} }}"))
            devices = xla_client.DeviceList((device,))
            self.program = device.client.compile_and_load(code, devices, xla_client.CompileOptions())

        def __call__(self, *args):
            placed = [jax.device_put(np.asarray(a), jax.local_devices()[0]) for a in args]
            return self.program.execute_sharded(placed).disassemble_into_single_device_arrays()

    Bounded.__name__ = name
    PROGRAMS.append((Bounded, args, None))


bounded(
    "dynamic_vector",
    """(%x: tensor<8xf32>, %n: tensor<i32>) -> tensor<?xf32, #stablehlo.bounds<8>> {
      %0 = stablehlo.set_dimension_size %x, %n, dim = 0 : (tensor<8xf32>, tensor<i32>) -> tensor<?xf32, #stablehlo.bounds<8>>
      %1 = stablehlo.sine %0 : tensor<?xf32, #stablehlo.bounds<8>>
      return %1 : tensor<?xf32, #stablehlo.bounds<8>>
    }""",
    f32(8),
    np.int32(3),
)
bounded(
    "dynamic_both_ways",
    """(%x: tensor<4x6xf32>, %n: tensor<i32>, %m: tensor<i32>) -> (tensor<?x?xf32, #stablehlo.bounds<4, 6>>, tensor<i32>) {
      %0 = stablehlo.set_dimension_size %x, %n, dim = 0 : (tensor<4x6xf32>, tensor<i32>) -> tensor<?x6xf32, #stablehlo.bounds<4, ?>>
      %1 = stablehlo.set_dimension_size %0, %m, dim = 1
        : (tensor<?x6xf32, #stablehlo.bounds<4, ?>>, tensor<i32>) -> tensor<?x?xf32, #stablehlo.bounds<4, 6>>
      %2 = stablehlo.multiply %1, %1 : tensor<?x?xf32, #stablehlo.bounds<4, 6>>
      %3 = stablehlo.get_dimension_size %2, dim = 1 : (tensor<?x?xf32, #stablehlo.bounds<4, 6>>) -> tensor<i32>
      return %2, %3 : tensor<?x?xf32, #stablehlo.bounds<4, 6>>, tensor<i32>
    }""",
    f32(4, 6),
    np.int32(2),
    np.int32(5),
)
bounded(
    "dynamic_reduced",
    """(%x: tensor<8x4xbf16>, %n: tensor<i32>) -> tensor<?xbf16, #stablehlo.bounds<8>> {
      %zero = stablehlo.constant dense<0.0> : tensor<bf16>
      %0 = stablehlo.set_dimension_size %x, %n, dim = 0 : (tensor<8x4xbf16>, tensor<i32>) -> tensor<?x4xbf16, #stablehlo.bounds<8, ?>>
      %1 = stablehlo.reduce(%0 init: %zero) applies stablehlo.add across dimensions = [1]
        : (tensor<?x4xbf16, #stablehlo.bounds<8, ?>>, tensor<bf16>) -> tensor<?xbf16, #stablehlo.bounds<8>>
      return %1 : tensor<?xbf16, #stablehlo.bounds<8>>
    }""",
    f32(8, 4).astype(ml_dtypes.bfloat16),
    np.int32(5),
)


# --- narrow types, literals ---------------------------------------------------------------------------------------------


@program(narrow(ml_dtypes.int4, 8), narrow(ml_dtypes.uint4, 8))
def types_int4(a, b):
    return a.astype(np.int8) + b.astype(np.int8), a


@program(narrow(ml_dtypes.int2, 8), narrow(ml_dtypes.uint2, 8))
def types_int2(a, b):
    return a.astype(np.int8) * b.astype(np.int8), b


@program(*(f32(6).astype(t) for t in (ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e5m2, ml_dtypes.float8_e4m3b11fnuz, ml_dtypes.float8_e4m3fnuz, ml_dtypes.float8_e5m2fnuz)))
def types_float8(*xs):
    return [x.astype(np.float32) * 2 for x in xs], xs[0] + np.array(1.5, ml_dtypes.float8_e4m3fn)


@program(*(np.abs(f32(6)).astype(t) for t in (ml_dtypes.float8_e3m4, ml_dtypes.float8_e4m3, ml_dtypes.float8_e8m0fnu, ml_dtypes.float4_e2m1fn)))
def types_float8_rare(*xs):
    return [x.astype(np.float32) for x in xs]


@program(f32(4), f32(4).astype(np.float16), f32(4).astype(ml_dtypes.bfloat16), f32(4).astype(np.float64))
def types_floats(a, b, c, d):
    return a + b, b * c, c - d, lax.reduce_precision(a, 5, 10), jnp.floor(c).astype(np.int16)


@program(f32(4) + 1j * f32(4), (f32(4) + 1j * f32(4)).astype(np.complex128))
def types_complex(a, b):
    return a * b, jnp.conj(a), jnp.abs(b), a.real + b.imag, lax.complex(a.real, a.imag) * np.complex64(1 - 2.5j)


@program(*(np.arange(4).astype(t) for t in "bBhHiIlL"), np.array([True, False, True, True]))
def types_integers(a, b, c, d, e, f, g, h, p):
    bits = [a ^ 3, b << 2, c & 5, ~d, lax.population_count(e), lax.clz(f), g >> 1, lax.shift_right_logical(h, h), p & ~p]
    return bits, jnp.where(p, a, b.astype(np.int8)), e // 3, e % 3


@program(f32(4), s32(4))
def types_bitcast(a, b):
    return lax.bitcast_convert_type(a, np.int32) + b, lax.bitcast_convert_type(b, np.uint8), lax.bitcast_convert_type(a, np.uint16)


@program(f32(8))
def literals_odd_floats(x):
    odd = np.array([np.nan, -np.nan, np.inf, -np.inf, -0.0, 1e-42, 3.4028235e38, 1.1754944e-38], np.float32)
    payload = np.array([0x7FC00001, 0xFFC12345, 0x7F800001, 1], np.uint32).view(np.float32)
    return x + odd, payload, np.float64([5e-324, 0.1, 1 / 3, -np.nan]), np.float32(np.nan) * x


@program(f32(2))
def literals_of_all_types(x):
    kinds = "bBhHiIlLefdFD?"
    small = [np.array([0, 1, 100]).astype(k) for k in kinds]
    low = [np.array([0, 1, -2.5, np.nan], np.float32).astype(t) for t in (ml_dtypes.bfloat16, ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e5m2)]
    return x, small, low, np.array([1, -2], ml_dtypes.int4), np.array([1, 3], ml_dtypes.uint4)


@program(f32(40, 50))
def literals_large(x):
    return x + RNG.normal(size=(40, 50)).astype(np.float32), s32(3, 3, 2, 2), np.zeros((0, 3), np.float32), np.arange(11)


@program(f32(3))
def literals_in_loops(x):
    return lax.fori_loop(0, 4, lambda i, c: c * np.array([1.5, -2.25, 1e10], np.float32) + np.float32(1e-7), x)


# --- reductions, elementwise --------------------------------------------------------------------------------------------


@program(f32(6, 5, 4))
def reduce_kinds(x):
    return x.sum(0), x.max((0, 2)), x.prod(), (x > 0).any(1), x.argmin(2), jnp.var(x, axis=1), jax.nn.logsumexp(x)


@program(f32(6, 5), s32(6, 5))
def reduce_several(x, i):
    return lax.reduce((x, i), (np.float32(0), np.int32(0)), lambda a, b: (a[0] + b[0], jnp.maximum(a[1], b[1])), (0,))


@program(f32(2, 9, 9, 3))
def reduce_windows(x):
    pools = [lax.reduce_window(x, init, op, (1, 3, 3, 1), (1, 2, 2, 1), "SAME") for init, op in ((-np.inf, lax.max), (0.0, lax.add))]
    return pools, lax.reduce_window(x, 0.0, lax.add, (1, 2, 2, 1), (1, 1, 1, 1), ((0, 0), (1, 0), (0, 1), (0, 0)), (1, 2, 1, 1), (1, 1, 2, 1))


@program(f32(2, 9, 9, 3))
def select_and_scatter(x):
    pool = lambda v: lax.reduce_window(v, -np.inf, lax.max, (1, 3, 3, 1), (1, 2, 2, 1), "VALID").sum()
    return jax.grad(pool)(x)


@program(f32(40))
def cumulative(x):
    return jnp.cumsum(x), lax.cumlogsumexp(x, reverse=True), lax.cummax(x), lax.cumprod(x.reshape(5, 8), 1)


@program(f32(4, 5))
def pads(x):
    return lax.pad(x, np.float32(0), ((1, 2, 0), (-1, 0, 2))), jnp.pad(x, 2, mode="reflect"), jnp.tile(x, (2, 1))


@program(f32(6))
def elementwise_unary(x):
    unary = (jnp.sin, jnp.cos, jnp.tan, jnp.tanh, jnp.sinh, jnp.cosh, jnp.arcsin, jnp.arccosh, jnp.arctan, jnp.exp, jnp.expm1, jnp.log, jnp.log1p)
    more = (jnp.sqrt, lax.rsqrt, jnp.cbrt, jnp.abs, jnp.sign, jnp.floor, jnp.ceil, jnp.round, jnp.isfinite, lax.logistic, lax.erf, lax.erf_inv, lax.lgamma, lax.digamma)
    return [f(x) for f in unary + more]


@program(f32(6), f32(6))
def elementwise_binary(x, y):
    binary = (jnp.add, jnp.power, jnp.arctan2, jnp.maximum, lax.rem, jnp.hypot, lax.nextafter, jnp.logaddexp, lax.ne, lax.ge, jnp.copysign)
    return [f(x, y) for f in binary], lax.clamp(np.float32(-1), x, y), lax.integer_pow(x, 5), jnp.where(x > y, x, -y)


@program(f32(6))
def elementwise_accuracy(x):
    return jnp.exp(x), lax.exp(x, accuracy=lax.Tolerance(atol=1e-3, rtol=0.25, ulps=2)), lax.tanh(x, accuracy=lax.AccuracyMode.HIGHEST)


@program(s32(3))
def iotas(x):
    return lax.broadcasted_iota(np.int32, (3, 4), 1), jnp.eye(4, k=1), jnp.tri(3), jnp.arange(5.0) + x[0], jnp.linspace(0, 1, 7)


@program(f32(2, 3, 4))
def reshapes(x):
    return x.reshape(4, 6), x.transpose(2, 0, 1), jnp.concatenate([x, x[:, :1]], 1), jnp.broadcast_to(x[:1], (5, 3, 4)), x[..., None]


# --- transformations ----------------------------------------------------------------------------------------------------


@jax.custom_jvp
def smooth(x):
    return jnp.log1p(jnp.exp(x))


@smooth.defjvp
def smooth_jvp(primals, tangents):
    return smooth(*primals), jax.nn.sigmoid(primals[0]) * tangents[0]


@jax.custom_vjp
def clipped(x):
    return x * 2


clipped.defvjp(lambda x: (clipped(x), x), lambda x, g: (jnp.clip(g, -1, 1) * x,))


@program(f32(5))
def custom_derivatives(x):
    return jax.grad(lambda v: smooth(v).sum())(x), jax.grad(lambda v: clipped(v).sum())(x), jax.hessian(lambda v: smooth(v).sum())(x)


@program(f32(128, 128), f32(128, 128))
def rematerialised(x, w):
    block = jax.checkpoint(lambda x, w: jnp.sin(jnp.sin(x @ w) @ w))
    return jax.grad(lambda w: block(block(x, w), w).sum())(w)


@program(f32(4, 4))
def barrier(x):
    a, b = lax.optimization_barrier((x * 2, x + 1))
    return a @ b


@program(f32(1024, 64), f32(1024, 64), donate_argnums=(0, 1))
def donated(x, y):
    return x + 1, y * x


@program({"a": f32(3), "b": (f32(2), [f32(1), {"c": s32(2)}])})
def nested_tuples(tree):
    body = lambda i, t: jax.tree.map(lambda v: v + jnp.asarray(i, v.dtype), t)
    return lax.fori_loop(0, 3, body, tree), tree


@program(*(f32(3) for _ in range(40)))
def many_arguments(*xs):
    return sum(xs), [x * i for i, x in enumerate(xs)]


@program(f32(4, 4))
def named_scopes(x):
    with jax.named_scope("größe/名前 <b>&\"quoted\"'"):
        x = jnp.sin(x)
    with jax.named_scope("long_" * 60):
        return jnp.cos(x) @ x


@program(f32(4))
def a_name_that_is_far_longer_than_what_anybody_would_type_by_hand_but_that_a_program_generator_could_well_emit_for_a_fused_block_of_layers(x):
    return jnp.tanh(x) * 2


@program(f32(3))
def nothing_but_parameters(x):
    return x


@program()
def no_arguments():
    return jnp.zeros((3, 2)), np.float32(2.5)


@program(f32(8, 8))
def inner_calls(x):
    inner = jax.jit(lambda v: jnp.sort(v, axis=0) + 1)
    return inner(inner(x)) @ inner(x)


@program(f32(64, 64), compiler_options={"xla_cpu_enable_fast_math": True})
def compiler_option(x):
    return jax.nn.softmax(x @ x) + jax.nn.gelu(x)


@program({"w": [f32(96, 256), f32(256, 40)]}, f32(128, 96), s32(128, high=4))
def training_step(params, x, y):
    def loss(p):
        h = x
        for w in p["w"]:
            h = jnp.tanh(h @ w)
        return -jnp.take_along_axis(jax.nn.log_softmax(h), y[:, None], 1).mean()

    value, grads = jax.value_and_grad(loss)(params)
    return jax.tree.map(lambda p, g: p - 0.1 * g, params, grads), value


def batch_norm_input():
    return f32(8, 5), f32(5), f32(5)


@program(*batch_norm_input())
def batch_norm_by_hand(x, scale, offset):
    mean, var = x.mean(0), x.var(0)
    return (x - mean) * lax.rsqrt(var + 1e-5) * scale + offset


# --- sparse -------------------------------------------------------------------------------------------------------------


@program(sparse.BCOO.fromdense(np.eye(6, dtype=np.float32)), f32(6, 3))
def sparse_bcoo(m, x):
    return m @ x, (m.T @ x).sum()


@program(sparse.BCSR.fromdense(np.eye(6, dtype=np.float32)), f32(6))
def sparse_bcsr(m, x):
    return m @ x


# --- many devices -------------------------------------------------------------------------------------------------------


@program(f32(8, 4))
@over_devices(P("x"), P())
def collective_psum(x):
    return lax.psum(x, ("x", "y")), lax.pmax(x, "x"), lax.pmean(x, "y")


@program(f32(8, 4))
@over_devices(P("x", "y"), P("x", "y"))
def collective_all_gather(x):
    return lax.all_gather(x, "x", axis=0, tiled=True)[:2], lax.all_gather(x, "y")[0]


@program(f32(32, 8))
@over_devices(P(("x", "y")), P(("x", "y")))
def collective_all_to_all(x):
    return lax.all_to_all(x, ("x", "y"), split_axis=1, concat_axis=0, tiled=True)


@program(f32(8, 4))
@over_devices(P("x"), P("x"))
def collective_permute(x):
    return lax.ppermute(x, "x", [(i, (i + 1) % 4) for i in range(4)])


@program(f32(32, 4))
@over_devices(P("x"), P(("x", "y")))
def collective_reduce_scatter(x):
    return lax.psum_scatter(x, "y", scatter_dimension=0, tiled=True)


@program(f32(8, 4))
@over_devices(P("x"), P("x"))
def collective_in_loop(x):
    return lax.fori_loop(0, 3, lambda i, v: lax.psum(v, "y") * lax.axis_index("x"), x)


@program(f32(64, 32), f32(32, 16))
def sharded_by_compiler(a, b):
    a = lax.with_sharding_constraint(a, NamedSharding(mesh(), P("x", "y")))
    b = lax.with_sharding_constraint(b, NamedSharding(mesh(), P("y", None)))
    return lax.with_sharding_constraint(jnp.tanh(a @ b), NamedSharding(mesh(), P("x")))


@program(f32(64, 32))
def sharded_transposed(a):
    a = lax.with_sharding_constraint(a, NamedSharding(mesh(), P(("y", "x"), None)))
    return lax.with_sharding_constraint(a.T, NamedSharding(mesh(), P(None, "y"))).sum(0)


@program(f32(6, 9))
def sharded_unevenly(a):
    return lax.with_sharding_constraint(jnp.sort(a, axis=1), NamedSharding(mesh(), P("x"))) * 2


# --- run ----------------------------------------------------------------------------------------------------------------


def run(function, args):
    jax.block_until_ready(function(*args))


def compile_all():
    """Compiles every program by running it once; says which cannot be."""
    compiled = []
    for function, args, options in PROGRAMS:
        try:
            jitted = function() if options is None else jax.jit(function, **options)
            run(jitted, args)
            compiled.append((jitted, args))
        except Exception as e:  # whatever this version of JAX does not like
            print(f"LEFT OUT {function.__name__}: {str(e).splitlines()[0][:200]}", flush=True)
    return compiled


def main():
    out = pathlib.Path(sys.argv[1])
    names = [function.__name__ for function, _, _ in PROGRAMS]
    if len(set(names)) < len(names):
        sys.exit(f"a name is given twice: {sorted(names)}")
    compiled = compile_all()
    if len(compiled) < N_LEAST:
        sys.exit(f"only {len(compiled)} of {len(PROGRAMS)} programs run, {N_LEAST} must")
    with tempfile.TemporaryDirectory() as scratch:
        with jax.profiler.trace(scratch):
            for function, args in compiled:
                run(function, args)
        (trace,) = pathlib.Path(scratch).glob("plugins/profile/*/*.xplane.pb")
        out.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(trace, out)
    print(f"{len(compiled)} of {len(PROGRAMS)} programs in {out}, {out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
