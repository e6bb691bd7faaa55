#!/usr/bin/env python3
"""Captures the CUDA traces: small JAX programs on one NVIDIA GPU.

  python3 tests/traces/capture_jax_cuda.py OUT            # every program, each in a process of its own
  python3 tests/traces/capture_jax_cuda.py OUT PROGRAM    # one of them, in this process

Writes OUT/plugins/profile/PROGRAM/host0.xplane.pb, each under 1 MB; OUT is tests/traces/jax_cuda.
Needs JAX with its CUDA plugin.
"""
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

COMMAND_BUFFERS = "--xla_gpu_enable_command_buffer=FUSION,CUBLAS,CUBLASLT,CUDNN,CUSTOM_CALL --xla_gpu_graph_min_graph_size=1"
NO_COMMAND_BUFFERS = "--xla_gpu_enable_command_buffer="


def train_step(loss):
    import jax

    @jax.jit
    def step(params, x, y):
        value, grads = jax.value_and_grad(loss)(params, x, y)
        return jax.tree.map(lambda p, g: p - 0.1 * g, params, grads), value

    return step


def cross_entropy(logits, y):
    import jax
    import jax.numpy as jnp

    return -jnp.mean(jax.nn.log_softmax(logits)[jnp.arange(y.shape[0]), y])


def mlp(sizes):
    import jax
    import jax.numpy as jnp

    keys = jax.random.split(jax.random.key(0), len(sizes) - 1)
    params = [
        dict(w=jax.random.normal(k, (a, b)) * a**-0.5, b=jnp.zeros(b)) for k, a, b in zip(keys, sizes[:-1], sizes[1:])
    ]

    def loss(params, x, y):
        for layer in params[:-1]:
            x = jnp.tanh(x @ layer["w"] + layer["b"])
        return cross_entropy(x @ params[-1]["w"] + params[-1]["b"], y)

    return params, loss


def cuda_mlp_train(profile):
    """Training steps fed from the host: copies to the device, GEMM, reductions, and the loss read back."""
    import jax
    import numpy as np

    sizes = (512, 2048, 2048, 10)
    params, loss = mlp(sizes)
    step = train_step(loss)
    rng = np.random.default_rng(0)
    batches = [(rng.normal(size=(1024, sizes[0])).astype(np.float32), rng.integers(0, 10, 1024)) for _ in range(6)]
    params, value = step(params, *batches[0])
    float(value)
    with profile():
        for number, (x, y) in enumerate(batches):
            with jax.profiler.StepTraceAnnotation("train", step_num=number):
                params, value = step(params, jax.device_put(x), jax.device_put(y))
                float(value)


def cuda_conv_train(profile):
    """Training steps of a small convolutional network: cuDNN kernels, bfloat16 and float32."""
    import jax
    import jax.numpy as jnp

    keys = jax.random.split(jax.random.key(1), 4)
    params = dict(
        c1=jax.random.normal(keys[0], (3, 3, 3, 32)) * 0.1,
        c2=jax.random.normal(keys[1], (3, 3, 32, 64)) * 0.1,
        w=jax.random.normal(keys[2], (16 * 16 * 64, 10)) * 0.01,
    )

    def conv(x, k):
        dims = ("NHWC", "HWIO", "NHWC")
        return jax.lax.conv_general_dilated(x, k.astype(x.dtype), (2, 2), "SAME", dimension_numbers=dims)

    def loss(params, x, y):
        x = jax.nn.relu(conv(x.astype(jnp.bfloat16), params["c1"]))
        x = jax.nn.relu(conv(x, params["c2"])).astype(jnp.float32)
        return cross_entropy(x.reshape(x.shape[0], -1) @ params["w"], y)

    step = train_step(loss)
    x = jax.random.normal(keys[3], (64, 64, 64, 3))
    y = jnp.arange(64) % 10
    params, value = jax.block_until_ready(step(params, x, y))
    with profile():
        for number in range(5):
            with jax.profiler.StepTraceAnnotation("train", step_num=number):
                params, value = step(params, x, y)
                value.block_until_ready()


def cuda_attention_inference(profile):
    """Inference without steps: two attention blocks in bfloat16, eight requests, prompts copied in, tokens copied out."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    heads, width, length = 8, 512, 256
    keys = jax.random.split(jax.random.key(2), 9)
    weights = [[jax.random.normal(keys[4 * b + i], (width, width), jnp.bfloat16) * 0.04 for i in range(4)] for b in range(2)]
    table = jax.random.normal(keys[8], (1000, width), jnp.bfloat16)

    @jax.jit
    def generate(weights, table, tokens):
        x = table[tokens]
        for wq, wk, wv, wo in weights:
            q, k, v = ((x @ w).reshape(*x.shape[:2], heads, -1) for w in (wq, wk, wv))
            with jax.named_scope("attention"):
                scores = jnp.einsum("bqhd,bkhd->bhqk", q, k) / 8
                mixed = jnp.einsum("bhqk,bkhd->bqhd", jax.nn.softmax(scores), v)
            x = x + mixed.reshape(x.shape) @ wo
        return jnp.argmax(x @ table.T, axis=-1)

    rng = np.random.default_rng(0)
    np.asarray(generate(weights, table, rng.integers(0, 1000, (4, length))))
    with profile():
        for _ in range(8):
            np.asarray(generate(weights, table, rng.integers(0, 1000, (4, length))))


def cuda_streams(profile):
    """Two threads at once: one computes, one copies to and from the device, so that streams overlap; a loop and a sort."""
    import threading

    import jax
    import jax.numpy as jnp
    import numpy as np

    @jax.jit
    def compute(x):
        y = jax.lax.fori_loop(0, 8, lambda _, v: jnp.sin(v @ v) * 0.1, x)
        return jnp.sort(y, axis=-1), jnp.fft.fft(y[0]).real.sum()

    x = jax.random.normal(jax.random.key(3), (1024, 1024))
    block = np.ones((4 << 20,), np.float32)
    jax.block_until_ready(compute(x))

    def copies():
        for _ in range(4):
            np.asarray(jax.device_put(block) + 0)

    copies()
    with profile():
        thread = threading.Thread(target=copies)
        thread.start()
        for _ in range(4):
            jax.block_until_ready(compute(x))
        thread.join()


def cuda_graphs(profile):
    """Training steps whose kernels are launched as CUDA graphs."""
    import jax

    params, loss = mlp((256, 512, 512, 512, 10))
    step = train_step(loss)
    x = jax.random.normal(jax.random.key(4), (256, 256))
    y = jax.random.randint(jax.random.key(5), (256,), 0, 10)
    for _ in range(3):  # the first runs compile and record the graph
        params, value = jax.block_until_ready(step(params, x, y))
    with profile():
        for number in range(6):
            with jax.profiler.StepTraceAnnotation("train", step_num=number):
                params, value = step(params, x, y)
                value.block_until_ready()


def cuda_ops(profile):
    """One program for each kind of operation whose cost is counted in a way of its own."""
    import jax
    import jax.numpy as jnp
    from jax import lax

    keys = jax.random.split(jax.random.key(6), 4)
    x = jax.random.normal(keys[0], (128, 256))
    square = x @ x.T + 128 * jnp.eye(128)
    image = jax.random.normal(keys[1], (4, 32, 32, 8))
    kernel = jax.random.normal(keys[2], (3, 3, 1, 16))
    ids = jax.random.randint(keys[3], (256,), 0, 128)
    dims = ("NHWC", "HWIO", "NHWC")

    def conv(image, kernel, **how):
        return lax.conv_general_dilated(image, kernel, dimension_numbers=dims, **how)

    def pool(image):
        return lax.reduce_window(image, -jnp.inf, lax.max, (1, 3, 3, 1), (1, 2, 2, 1), "SAME")

    def branch(x):
        return lax.cond(x.sum() > 0, lambda v: jnp.exp(v) @ v.T, lambda v: v @ v.T * 2, x)

    def decode(x):
        def body(state):
            n, v = state
            row = lax.dynamic_slice(v, (n, 0), (1, v.shape[1]))
            return n + 1, lax.dynamic_update_slice(v, jnp.tanh(row) * 2, (n + 1, 0))

        return lax.while_loop(lambda state: state[0] < 3, body, (0, x))

    programs = dict(
        grouped_conv=(lambda i, k: conv(i, k, window_strides=(1, 1), padding="SAME", feature_group_count=8), image, kernel),
        dilated_conv=(
            lambda i, k: conv(i, k, window_strides=(2, 1), padding=((2, 1), (0, 3)), rhs_dilation=(2, 1)),
            image,
            jnp.tile(kernel, (1, 1, 8, 1)),
        ),
        transposed_conv=(
            lambda i, k: conv(i, k, window_strides=(1, 1), padding=((2, 2), (2, 2)), lhs_dilation=(2, 2)),
            image,
            jnp.tile(kernel, (1, 1, 8, 1)),
        ),
        max_pool=(pool, image),
        max_pool_gradient=(jax.grad(lambda i: (pool(i) ** 2).sum()), image),
        running_sum=(lambda x: jnp.cumsum(x, axis=1), x),
        argmax_after_convert=(lambda x: jnp.argmax(x.astype(jnp.bfloat16), axis=-1), x),
        sort_pairs=(lambda x: lax.sort((x, -x), num_keys=1), x),
        top_k=(lambda x: lax.top_k(x, 5), x),
        gather_rows=(lambda x, i: jnp.tanh(x[i]), x, ids),
        scatter_rows=(lambda x, i: jnp.zeros_like(x).at[i].add(jnp.tile(x, (2, 1))), x, ids),
        segment_sum=(lambda x, i: jax.ops.segment_sum(x.T, i, 128), x, ids),
        cholesky=(jnp.linalg.cholesky, square),
        triangular_solve=(lambda a, b: lax.linalg.triangular_solve(a, b, left_side=True, lower=True), square, x),
        fft=(lambda x: jnp.abs(jnp.fft.rfft(x)), x),
        random_bits=(lambda k: jax.random.normal(k, (128, 256)), keys[0]),
        layer_norm=(lambda x: (x - x.mean(-1, keepdims=True)) * lax.rsqrt(x.var(-1, keepdims=True) + 1e-5), x),
        int8_dot=(lambda x: lax.dot(x.astype(jnp.int8), x.astype(jnp.int8).T, preferred_element_type=jnp.int32), x),
        transcendentals=(lambda x: jnp.arctan2(jnp.sin(x), lax.erf(x)) ** 3 + jnp.log1p(jnp.abs(x)), x),
        branch=(branch, x),
        decode=(decode, x),
        complex_product=(lambda x: (x + 1j * x) * jnp.exp(1j * x), x),
    )
    compiled = {name: jax.jit(f).lower(*args).compile() for name, (f, *args) in programs.items()}
    run = lambda: [jax.block_until_ready(compiled[name](*args)) for name, (_, *args) in programs.items()]
    run()
    with profile():
        run()


PROGRAMS = {
    cuda_mlp_train: NO_COMMAND_BUFFERS,
    cuda_conv_train: NO_COMMAND_BUFFERS,
    cuda_attention_inference: NO_COMMAND_BUFFERS,
    cuda_streams: NO_COMMAND_BUFFERS,
    cuda_graphs: COMMAND_BUFFERS,
    cuda_ops: NO_COMMAND_BUFFERS,
}


def capture(program, out):
    import contextlib

    import jax

    jax.config.update("jax_hlo_source_file_canonicalization_regex", ".*/(?=tests/traces/)")  # no folders of this machine
    scratch = pathlib.Path(tempfile.mkdtemp())

    @contextlib.contextmanager
    def profile():
        options = jax.profiler.ProfileOptions()
        options.python_tracer_level = 0
        options.host_tracer_level = 2
        with jax.profiler.trace(str(scratch), profiler_options=options):
            yield

    program(profile)
    (trace,) = scratch.glob("plugins/profile/*/*.xplane.pb")
    target = out / "plugins/profile" / program.__name__ / "host0.xplane.pb"
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(trace, target)
    print(f"{target}: {target.stat().st_size} bytes, {jax.devices()[0].device_kind}, JAX {jax.__version__}")


def main():
    out = pathlib.Path(sys.argv[1])
    by_name = {program.__name__: program for program in PROGRAMS}
    if len(sys.argv) > 2:
        return capture(by_name[sys.argv[2]], out)
    failed = []
    for program, flags in PROGRAMS.items():
        env = os.environ | {"XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} {flags}", "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
        if subprocess.run([sys.executable, __file__, out, program.__name__], env=env, timeout=150).returncode:
            failed.append(program.__name__)
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
