#!/usr/bin/env python3
"""Captures the demo trace: eight training steps of a small MLP with JAX on the CPU.

  python3 -m venv venv && venv/bin/pip install jax
  venv/bin/python tests/traces/capture_jax_cpu.py tests/traces/jax_cpu_mlp

Writes OUT/plugins/profile/jax_cpu_mlp/host0.xplane.pb, a few hundred kB.
"""
import pathlib
import shutil
import sys
import tempfile

import jax
import jax.numpy as jnp

LAYERS = (64, 128, 128, 10)
STEPS = 8


def init(key):
    keys = jax.random.split(key, len(LAYERS) - 1)
    return [
        dict(w=jax.random.normal(k, (a, b)) * a**-0.5, b=jnp.zeros(b))
        for k, a, b in zip(keys, LAYERS[:-1], LAYERS[1:])
    ]


def forward(params, x):
    for layer in params[:-1]:
        x = jnp.tanh(x @ layer["w"] + layer["b"])
    return x @ params[-1]["w"] + params[-1]["b"]


def loss(params, x, y):
    return -jnp.mean(jax.nn.log_softmax(forward(params, x))[jnp.arange(y.shape[0]), y])


@jax.jit
def train_step(params, x, y):
    value, grads = jax.value_and_grad(loss)(params, x, y)
    return jax.tree.map(lambda p, g: p - 0.1 * g, params, grads), value


def main():
    out = pathlib.Path(sys.argv[1])
    key = jax.random.key(0)
    params = init(key)
    x = jax.random.normal(key, (256, LAYERS[0]))
    y = jax.random.randint(key, (256,), 0, LAYERS[-1])
    params, _ = jax.block_until_ready(train_step(params, x, y))  # compile before the trace begins
    scratch = pathlib.Path(tempfile.mkdtemp())
    with jax.profiler.trace(str(scratch)):
        for step in range(STEPS):
            with jax.profiler.StepTraceAnnotation("train", step_num=step):
                params, value = train_step(params, x, y)
                value.block_until_ready()
    (trace,) = scratch.glob("plugins/profile/*/*.xplane.pb")
    target = out / "plugins/profile/jax_cpu_mlp/host0.xplane.pb"
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(trace, target)
    print(f"{target}: {target.stat().st_size} bytes, loss {value:.3f}")


if __name__ == "__main__":
    main()
