"""Results: records on disk, queries over them, and tables beside the published numbers.

record(row)            a notebook's evaluated student       -> $VDD_RUN/records.csv
gather("quick")        every run's records                  -> figures/quick/records.csv
load, summarise        the gathered records; mean, std and n over seeds
compare(df)            ours beside published
ablations(df)          one table per experiment, beside the paper's
main_table("quick")    methods under their own protocols    -> figures/quick/table.{md,csv,tex,json}
                       and all of them under one            -> figures/quick/table_one_protocol.{md,csv,tex,json}
fair_table("quick")    methods under F and F-soft, told apart or not, and what motion is worth
                                                    -> figures/quick/fair_table.*, motion_table.*
comparisons, pairwise  the fair comparison as numbers: intervals, paired differences, Holm's correction
equal_bytes(df)        each method beside real clips that a codec fits into no more bytes
hours(df)              what sets and students took
plain(df)              the records that are no variant      (what main tables and figures show)
of_papers(df)          those under protocols of the literature, that is, not under F or F-soft
"""

from vddlib.results.ablations import ablations
from vddlib.results.compare import compare, dataset_table
from vddlib.results.fair import comparisons, equal_bytes, pairwise, sets_and_students
from vddlib.results.fair_table import fair_table, motion_table
from vddlib.results.hours import hours
from vddlib.results.main_table import main_table
from vddlib.results.methods import METHODS, method_rank
from vddlib.results.published import papers, published
from vddlib.results.records import gather, load, read, record, records_path, summarise
from vddlib.results.schema import COLUMNS, COSTS, DATASETS, METRICS, ORIGIN, STUDENTS, display
from vddlib.results.select import in_reading_order, of_papers, plain, random_beside, under_own_protocol
from vddlib.results.write import Block, origin, write_table

__all__ = [
    "COLUMNS",
    "COSTS",
    "DATASETS",
    "METHODS",
    "METRICS",
    "ORIGIN",
    "STUDENTS",
    "Block",
    "ablations",
    "compare",
    "comparisons",
    "dataset_table",
    "display",
    "equal_bytes",
    "fair_table",
    "gather",
    "hours",
    "in_reading_order",
    "load",
    "main_table",
    "method_rank",
    "motion_table",
    "of_papers",
    "origin",
    "pairwise",
    "papers",
    "plain",
    "published",
    "random_beside",
    "read",
    "record",
    "records_path",
    "sets_and_students",
    "summarise",
    "under_own_protocol",
    "write_table",
]
