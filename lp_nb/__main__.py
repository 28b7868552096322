"`python -m lp_nb` is `lp-nb`."
from lp_nb.cli import main

if __name__ == '__main__':
    main()
