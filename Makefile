# The only list of commands. `make help` prints it. Every target sets up what it needs itself.
PYTHON ?= python3
VENV ?= .venv
DATA ?= ../shared/data
VGG ?= ../shared/perceptual/vgg_normalised_conv3_1.pth
WHEEL_VENV ?= .wheel-venv
OLDEST_VENV ?= .venv-oldest
# the oldest numpy and scipy have no wheels for later ones
OLDEST_PYTHON ?= $(shell command -v python3.11 || echo $(PYTHON))
ARGS ?=
PRIORS := src/napari_mganprior/priors
ENCODER_MINUTES ?= 20

BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
OLDEST_STAMP := $(OLDEST_VENV)/.installed
# what stands between napari's versions and us
OLDEST_TESTS := tests/test_settings.py tests/widgets/test_manifest.py tests/widgets/test_find.py \
	tests/widgets/test_real_run.py
# a window needs a screen: a virtual one where there is none
SCREEN := $(if $(DISPLAY)$(WAYLAND_DISPLAY),,$(if $(filter Linux,$(shell uname -s)),xvfb-run -a -s '-screen 0 1366x768x24' ))
SYSTEM_PACKAGES := xvfb xauth libegl1 libgl1 libgl1-mesa-dri libxkbcommon-x11-0 libxcb-cursor0 \
	libxcb-icccm4 libxcb-image0 libxcb-keysyms1 libxcb-randr0 libxcb-render-util0 libxcb-shape0 \
	libxcb-xinerama0 libxcb-xfixes0 libdbus-1-3

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help venv system lint format test test-windows test-engine test-fast test-oldest venv-oldest \
	coverage demo prior-nuclei prior-histology prior-blood prior-satellite priors priors-gpu \
	encoder bench-inpaint bench-own-prior bench-reference bench-tasks bench-losses bench-methods \
	bench-training bench-quality bench-fresh bench-shares bench-ideas bench-layers bench-ui bench-ui-training bench-edit bench-newcomer \
	fuzz-imports screenshots samples build wheel-check clean

help:  ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo "  Variables: PYTHON ($(PYTHON)), VENV ($(VENV)), DATA ($(DATA)), ARGS (passed on)"

venv: $(STAMP)  ## make .venv with the tested versions (constraints.txt)

$(STAMP): setup.cfg constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	# torch by itself first: the pinned plain version lets pip take a CPU build where one is offered
	$(BIN)/python -m pip install -c constraints.txt torch
	$(BIN)/python -m pip install -c constraints.txt -e '.[all,dev]'
	touch $@

system:  ## install the system libraries that windows need (Debian, Ubuntu), if they are missing
	@test "$$(uname -s)" = Linux || exit 0; \
	if ! command -v apt-get >/dev/null; then \
		test -n "$$DISPLAY$$WAYLAND_DISPLAY" || command -v xvfb-run >/dev/null || { \
			echo "No display, no xvfb-run and no apt-get here. Install Xvfb and the libraries" \
				"Qt 6 needs (xcb, EGL, GL) with your package manager, or run on a desktop." >&2; \
			exit 1; }; \
		exit 0; \
	fi; \
	missing=$$(for p in $(SYSTEM_PACKAGES); do \
		dpkg-query -W -f '$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || echo $$p; done); \
	test -n "$$missing" || exit 0; \
	if [ "$$(id -u)" = 0 ]; then sudo=; elif command -v sudo >/dev/null; then sudo=sudo; else \
		echo "Missing system packages:" $$missing "- ask an administrator to run:" \
			"apt-get install" $$missing >&2; exit 1; fi; \
	echo "Installing" $$missing; \
	$$sudo apt-get update -qq && \
		$$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing

lint: $(STAMP)  ## ruff, formatting, mypy, import contracts
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(STAMP)  ## format, and mend what ruff can mend
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

test: $(STAMP) system  ## every test and docstring example (ARGS='-k name' narrows it)
ifeq ($(strip $(ARGS)),)
	# two at a time, with a thread each: half the wait of one with two threads
	OMP_NUM_THREADS=1 $(MAKE) -j2 test-windows test-engine
else
	$(SCREEN)$(BIN)/python -m pytest $(ARGS)
endif

# training and timing go with the engine, so that both halves take as long
WITH_WINDOWS := tests/widgets $(filter-out tests/runs/test_t%,$(wildcard tests/runs/test_*.py))

test-windows: $(STAMP) system  ## the tests of widgets and most of runs alone: about half of the time
	$(SCREEN)$(BIN)/python -m pytest $(WITH_WINDOWS) $(ARGS)

test-engine: $(STAMP) system  ## all the others
	# from 199 on, so that both screens do not reach for one number
	$(subst -run -a,-run -a -n 199,$(SCREEN))$(BIN)/python -m pytest $(WITH_WINDOWS:%=--ignore=%) $(ARGS)

test-fast: $(STAMP) system  ## the tests without the slow ones and without windows
	$(SCREEN)$(BIN)/python -m pytest -m 'not slow and not gui' $(ARGS)

test-oldest: $(OLDEST_STAMP) system  ## menus, widget and a run with the oldest napari and libraries allowed
	# old libraries are full of warnings; they fail in `make test`
	$(SCREEN)$(OLDEST_VENV)/bin/python -m pytest -W ignore \
		$(OLDEST_TESTS) $(ARGS)

venv-oldest: $(OLDEST_STAMP)  ## make .venv-oldest with the oldest versions that setup.cfg allows

$(OLDEST_STAMP): setup.cfg constraints.txt .ci/oldest.py
	test -x $(OLDEST_VENV)/bin/python || $(OLDEST_PYTHON) -m venv $(OLDEST_VENV)
	$(OLDEST_VENV)/bin/python .ci/oldest.py > $(OLDEST_VENV)/oldest.txt
	$(OLDEST_VENV)/bin/python -m pip install -q -c constraints.txt torch
	$(OLDEST_VENV)/bin/python -m pip install -q -c $(OLDEST_VENV)/oldest.txt -e '.[all]' \
		pytest pytest-qt pytest-timeout
	touch $@

coverage: $(STAMP) system  ## what the tests do not reach
	$(SCREEN)$(BIN)/python -m pytest --cov --cov-report=term $(ARGS)

demo: $(STAMP)  ## restore the two sample images; table and picture in .demo/
	$(BIN)/napari-mganprior demo -o .demo --overwrite $(ARGS)

prior-nuclei: $(STAMP)  ## train the bundled prior nuclei again (about an hour; resumes); needs DATA
	$(BIN)/python examples/make_prior.py nuclei $(DATA)/nuclei $(ARGS)
	$(BIN)/python examples/add_encoder.py $(PRIORS)/nuclei.safetensors --minutes $(ENCODER_MINUTES)

prior-histology: $(STAMP)  ## the same for the bundled prior histology
	$(BIN)/python examples/make_prior.py histology $(DATA)/histology $(ARGS)
	$(BIN)/python examples/add_encoder.py $(PRIORS)/histology.safetensors --minutes $(ENCODER_MINUTES)

prior-blood: $(STAMP)  ## the same for the bundled prior blood
	$(BIN)/python examples/make_prior.py blood $(DATA)/blood $(ARGS)
	$(BIN)/python examples/add_encoder.py $(PRIORS)/blood.safetensors --minutes $(ENCODER_MINUTES)

prior-satellite: $(STAMP)  ## the same for the bundled prior satellite
	$(BIN)/python examples/make_prior.py satellite $(DATA)/satellite $(ARGS)
	$(BIN)/python examples/add_encoder.py $(PRIORS)/satellite.safetensors --minutes $(ENCODER_MINUTES)

priors: prior-nuclei prior-histology prior-blood prior-satellite  ## train all four bundled priors again

priors-gpu: $(STAMP)  ## nuclei, histology and blood at 128 px, into .priors-128; needs DATA and CUDA
	for name in nuclei histology blood; do \
		$(BIN)/python examples/make_prior.py $${name}128 $(DATA)/$$name --device cuda \
			--out .priors-128 $(ARGS) && \
		$(BIN)/python examples/add_encoder.py .priors-128/$${name}128.safetensors \
			--minutes $(ENCODER_MINUTES) || exit; \
	done

encoder: $(STAMP)  ## give a prior an encoder (ARGS='my_prior.safetensors --minutes 5')
	$(BIN)/python examples/add_encoder.py $(ARGS)

bench-inpaint: $(STAMP)  ## quality in the hole against single code, reference and biharmonic; needs DATA
	$(BIN)/python benchmarks/inpaint.py --data $(DATA)/nuclei/test.npz $(ARGS)

bench-own-prior: $(STAMP)  ## 60 images and 30 minutes: does the prior beat biharmonic? needs DATA
	$(BIN)/python benchmarks/own_prior.py --data $(DATA)/nuclei $(ARGS)

bench-reference: $(STAMP)  ## our engine's speed against the original procedure; needs DATA
	$(BIN)/python benchmarks/reference.py --data $(DATA)/nuclei/test.npz $(ARGS)

bench-tasks: $(STAMP)  ## denoising and super-resolution against classical methods; needs DATA
	$(BIN)/python benchmarks/tasks.py --data $(DATA)/nuclei/test.npz $(ARGS)

bench-losses: $(STAMP)  ## what feature losses and the likelihood of photon noise are worth; needs DATA
	$(BIN)/python benchmarks/losses.py --data $(DATA)/nuclei/test.npz $(ARGS)
bench-methods: $(STAMP)  ## every method of the search on a few test images; needs DATA
	$(BIN)/python benchmarks/methods.py --data $(DATA)/nuclei/test.npz $(ARGS)

bench-training: $(STAMP)  ## images a second of the trainer, with and without bfloat16 and channels_last
	$(BIN)/python benchmarks/training.py $(ARGS)

bench-quality: $(STAMP)  ## every task, method and prior against what else there is; docs/benchmarks.md; needs DATA
	$(BIN)/python benchmarks/quality.py --data $(DATA) --vgg $(VGG) $(ARGS)

bench-fresh: $(STAMP)  ## denoising and x4 on pictures that no setting was chosen on; needs DATA
	$(BIN)/python benchmarks/fresh.py --data $(DATA) $(ARGS)

bench-shares: $(STAMP)  ## how drawing and interpolation should share a super-resolved picture; needs DATA
	$(BIN)/python benchmarks/shares.py --data $(DATA) $(ARGS)

bench-ideas: $(STAMP)  ## what was tried where bench-quality missed an aim; docs/benchmarks-ideas.md; needs DATA
	$(BIN)/python benchmarks/ideas.py --data $(DATA) --vgg $(VGG) $(ARGS)

bench-layers: $(STAMP)  ## the paper's layer study on nuclei, into docs/benchmarks.md; needs DATA
	$(BIN)/python benchmarks/layers.py --data $(DATA) $(ARGS)

bench-ui: $(STAMP) system  ## what the live preview costs, memory after ten runs, the longest wait
	$(SCREEN)$(BIN)/python benchmarks/ui.py $(ARGS)

bench-ui-training: $(STAMP) system  ## how long the window is deaf while a prior is trained
	$(SCREEN)$(BIN)/python benchmarks/ui_training.py $(ARGS)

bench-edit: $(STAMP) system  ## milliseconds a move of an editing slider takes, with and without a window
	$(SCREEN)$(BIN)/python benchmarks/edit.py $(ARGS)

bench-newcomer: build system  ## seconds from pip install to a restored sample, in a fresh environment
	$(SCREEN)$(BIN)/python benchmarks/newcomer.py dist/*.whl $(ARGS)

fuzz-imports: $(STAMP)  ## damage files in every format and import them, ten minutes; nothing may run
	$(BIN)/python benchmarks/fuzz_imports.py $(ARGS)

screenshots: $(STAMP) system  ## take the README's pictures of the widget again
	$(SCREEN)$(BIN)/python examples/take_screenshots.py $(ARGS)

samples: $(STAMP)  ## draw the sample images again; needs DATA
	$(BIN)/python examples/make_samples.py $(DATA)/nuclei/test.npz

build: $(STAMP)  ## source archive and wheel in dist/
	rm -rf build dist
	$(BIN)/python -m build
	ls -l dist

wheel-check: build system  ## the wheel alone in a fresh environment: manifest, priors, widget, demo, size
	rm -rf $(WHEEL_VENV)
	$(PYTHON) -m venv $(WHEEL_VENV)
	$(WHEEL_VENV)/bin/python -m pip install -q -c constraints.txt torch
	$(WHEEL_VENV)/bin/python -m pip install -q -c constraints.txt "$$(ls dist/*.whl)[all]"
	$(SCREEN)$(WHEEL_VENV)/bin/python -I .ci/check_wheel.py dist/*.whl $(ARGS)

clean:  ## remove what make made, .venv included; training runs stay
	rm -rf $(VENV) $(WHEEL_VENV) $(OLDEST_VENV) build dist .demo .bench .coverage .mypy_cache .ruff_cache \
		.pytest_cache .import_linter_cache src/*.egg-info
