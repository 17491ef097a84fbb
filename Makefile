# The course from two commands: `make book` reads, `make test` proves.
#
# Needs make and Python 3.11 or newer, nothing else; `make PYTHON=/path/to/python3.12 book` names one.
# Only what GNU make 3.81 (macOS) and POSIX make both know is used here.

BIN = .venv/bin
PY = $(BIN)/python
STAMP = .venv/.installed
CHAPTER_JOBS = 2
# What pip holds to; `CONSTRAINTS=/dev/null` takes the newest of everything, TORCH and TORCHVISION (both) other versions.
CONSTRAINTS = constraints.txt
TORCH =
TORCHVISION =
# Only where it is said on the command line: gettext has a variable of this name in the environment.
IN = $(if $(filter command,$(origin LANGUAGE)),--language $(LANGUAGE))

help:
	@echo "make book                run all chapters and build the site (CLSLAB_PROFILE=smoke|cpu|gpu; LANGUAGE=zh_CN)"
	@echo "make publish             the site that may be public: stand-ins, and what book/published.toml lists, credited"
	@echo "make pdf                 the whole book as a PDF, by Chromium; PUBLIC=1 from the site of make publish"
	@echo "make chapter NAME=...    run and show one chapter, e.g. NAME=05_fine_tuning"
	@echo "make notebooks           write the notebooks beside the chapters"
	@echo "make catalogues          bring the translations up to date with the pages; PAGE=... begins that of a page"
	@echo "make test                everything that CI proves: lint, types, unit, chapters, strict book, pages in a browser"
	@echo "make lint|format|types|unit|chapters|site-smoke    parts of it"
	@echo "make site-check          open every page of that site in a browser: axe, phone, weight, no request outside"
	@echo "make costs               measure what every page costs and write it into the pages"
	@echo "make data-sheets         write book/data.md from the catalog"
	@echo "make recordings          write book/recordings.md, who recorded the birds (needs them in CLSLAB_DATA)"
	@echo "make numbers             compare the numbers in the prose with the records"
	@echo "make address URL=...     write the book's web address everywhere it is needed"
	@echo "make student             write student/: every chapter and sheet as students get it, without solutions"
	@echo "make student-branch      push student/ as the branch \`student\`, to which the launch buttons lead"
	@echo "make release ASSIGNMENT=...   one sheet as an assignment, e.g. ASSIGNMENT=07_learning_rate_exercises"
	@echo "make grade ASSIGNMENT=... SUBMITTED=DIR   mark a folder of hand-ins: grades.csv and feedback (GRADE=--again anew)"
	@echo "make leaks [FOLDERS=...]      search all that is published for the words of a graded homework"
	@echo "make homework-template DEST=...   begin an instructor's folder for the graded sheet"
	@echo "make vendor              fetch the scripts of others that the site carries with it, by npm, and check them"
	@echo "make links|colab|versions   with a network: dead links, Colab's packages, what is newer"
	@echo "make colab-venv [COLAB=...]   with a network: chapters in a venv that has Colab's packages"
	@echo "make image               with a network: the Docker image of the course"
	@echo "make chapters-gpu        all notebooks at full size, with this machine's data"
	@echo "make bench               the speed ratios in benchmarks/ (BENCH=--record keeps them with the book's records,"
	@echo "                         BENCH=--record=gpu beside those of other kinds of machines)"
	@echo "make clean               remove what was built; make distclean also removes .venv"

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@set -e; \
	enough='import sys; sys.exit(sys.version_info < (3, 11))'; \
	found=; \
	for candidate in $${PYTHON:-python3 python3.13 python3.12 python3.11 python}; do \
	  if "$$candidate" -c "$$enough" 2>/dev/null; then found=$$candidate; break; fi; \
	done; \
	if [ -z "$$found" ]; then \
	  echo "clslab needs Python 3.11 or newer, and none was found (tried: $${PYTHON:-python3 python3.13 python3.12 python3.11 python})." >&2; \
	  echo "Install one, then name it: make PYTHON=/path/to/python3.12 $(MAKECMDGOALS)" >&2; \
	  exit 1; \
	fi; \
	if [ ! -x $(PY) ]; then echo "creating .venv with $$found"; "$$found" -m venv .venv; fi; \
	sed -e '' $(if $(TORCH),-e 's/^torch==.*/torch==$(TORCH)/' -e 's/^torchvision==.*/torchvision==$(TORCHVISION)/') \
	  $(CONSTRAINTS) > .venv/constraints.txt; \
	$(PY) -m pip install --disable-pip-version-check -c .venv/constraints.txt -e '.[all]'; \
	touch $(STAMP)

book: $(STAMP)
	@$(PY) -m book.tools.build $(IN)

publish: $(STAMP)
	@$(PY) -m book.tools.publish

# From the finished site, without a network. A machine without a Chromium is told how to get one.
pdf: $(STAMP)
	@$(PY) -m book.tools.pdf $(if $(PUBLIC),--public)

vendor: $(STAMP)
	@$(PY) -m book.tools.vendor $(VENDOR)

chapter: $(STAMP)
	@$(PY) -m book.tools.build --chapter "$(NAME)" $(IN)

notebooks: $(STAMP)
	@$(PY) -m book.tools.pairs --jobs $(CHAPTER_JOBS)

catalogues: $(STAMP)
	@$(PY) -m book.tools.translate $(IN) --page "$(PAGE)"

costs: $(STAMP)
	@$(PY) -m book.tools.build --record-costs
	@$(PY) -m book.tools.pairs --jobs $(CHAPTER_JOBS)

numbers: $(STAMP)
	@$(PY) -m book.tools.numbers

data-sheets: $(STAMP)
	@$(PY) -m book.tools.data_sheets

recordings: $(STAMP)
	@$(PY) -m book.tools.recordings $(CLSLAB_DATA)/birds

address: $(STAMP)
	@$(PY) -m book.tools.address $(URL)

student: $(STAMP)
	@$(PY) -m book.tools.student

student-branch: $(STAMP)
	@$(PY) -m book.tools.branch

release: $(STAMP)
	@$(PY) -m book.grading.release "$(ASSIGNMENT)"

grade: $(STAMP)
	@$(PY) -m book.grading.grade "$(ASSIGNMENT)" "$(SUBMITTED)" $(GRADE)

leaks: $(STAMP)
	@$(PY) -m book.grading.leaks $(FOLDERS)

homework-template: $(STAMP)
	@$(PY) -m book.grading.homework "$(DEST)"

test: lint types unit chapters site-smoke
	@$(MAKE) --no-print-directory site-check

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/actionlint -config-file .github/actionlint.yaml .github/workflows/*.yml

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(STAMP)
	$(BIN)/mypy

unit: $(STAMP)
	OMP_NUM_THREADS=1 CLSLAB_PROFILE=smoke $(PY) -m pytest -n $(CHAPTER_JOBS) --dist loadfile --ignore=tests/site tests clslab book/tools book/grading

chapters: $(STAMP)
	$(PY) tests/chapters/run.py --jobs $(CHAPTER_JOBS)

# At full size, with this machine's data, on its GPU; REPORT=FILE.xml keeps what came out.
chapters-gpu: $(STAMP)
	$(PY) tests/chapters/run.py --profile gpu --jobs 1 $(if $(REPORT),--report $(REPORT))

site-smoke: $(STAMP)
	CLSLAB_PROFILE=smoke $(PY) -m book.tools.build --output _build/smoke --language zh_CN

# In a browser, on the site that site-smoke built. A machine without a Chromium is told so: pip cannot bring one.
# The PDF has a process of its own, since playwright is started once in a process. SITE names another site; with
# BROWSER=required a machine without one fails.
SITE =
BROWSER =
site-check: $(STAMP)
	@if $(PY) -m book.tools.browser; then export CLSLAB_SITE="$(SITE)"; \
	$(PY) -m pytest -n $(CHAPTER_JOBS) --ignore=tests/site/test_pdf.py tests/site && $(PY) -m pytest tests/site/test_pdf.py; \
	else echo "NOT DONE: no page was opened in a browser. \`make browser\` fetches one; then \`make site-check\`."; test "$(BROWSER)" != required; fi

# A Chromium for site-check, where the system has none.
browser: $(STAMP)
	$(PY) -m playwright install --with-deps chromium

# These four ask the network, so `make test` leaves them out.
links: $(STAMP)
	@$(PY) -m book.tools.links

colab: $(STAMP)
	@$(PY) tests/book/colab.py

# The image of the Dockerfile; DOCKER="buildah build-using-dockerfile" builds it without a daemon.
DOCKER = docker build
image:
	$(DOCKER) -t clslab .

# Fills a venv with what Colab has and runs chapters in it: some gigabytes and minutes.
colab-venv: $(STAMP)
	@PYTHONPATH=. $(PY) tests/book/colab_venv.py $(COLAB)

versions: $(STAMP)
	@$(PY) -m pip list --disable-pip-version-check --outdated
	@$(PY) -m pip freeze --disable-pip-version-check

bench: $(STAMP)
	@for script in benchmarks/*.py; do \
	  case $$script in */interleaved.py|*/whole_book.py|*/pages.py|*/depth.py) continue;; esac; \
	  echo "$$script" >&2; $(PY) $$script $(BENCH) || exit 1; \
	done

clean:
	rm -rf _build .pytest_cache .mypy_cache .ruff_cache clslab.egg-info
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +

distclean: clean
	rm -rf .venv

.PHONY: help install book publish pdf vendor chapter notebooks catalogues costs numbers data-sheets recordings address student student-branch release grade leaks homework-template test lint format types unit chapters chapters-gpu site-smoke site-check browser links colab colab-venv image versions bench clean distclean
