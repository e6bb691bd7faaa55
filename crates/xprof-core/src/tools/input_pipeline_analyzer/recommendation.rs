//! What can be done about each kind of input time.
//!
//! Takes nothing: the advice is the same for every run. The texts are the reference's to the letter.

use crate::answer::datatable::{ColumnType, DataTable};

const ADVICE: [&str; 5] = [
    "Enqueuing data: you may want to combine small input data chunks into fewer but larger chunks.",
    "Data preprocessing: you may increase num_parallel_calls in <a \
     href=\"https://www.tensorflow.org/api_docs/python/tf/data/Dataset#map\" target=\"_blank\">Dataset map()</a> or \
     preprocess the data OFFLINE.",
    "Reading data from files in advance: you may tune parameters in the following tf.data API (<a \
     href=\"https://www.tensorflow.org/api_docs/python/tf/data/Dataset#prefetch\" target=\"_blank\">prefetch size</a>, <a \
     href=\"https://www.tensorflow.org/api_docs/python/tf/data/Dataset#interleave\" target=\"_blank\">interleave \
     cycle_length</a>, <a \
     href=\"https://www.tensorflow.org/api_docs/python/tf/data/TFRecordDataset#class_tfrecorddataset\" \
     target=\"_blank\">reader buffer_size</a>)",
    "Reading data from files on demand: you should read data IN ADVANCE using the following tf.data API (<a \
     href=\"https://www.tensorflow.org/api_docs/python/tf/data/Dataset#prefetch\" target=\"_blank\">prefetch</a>, <a \
     href=\"https://www.tensorflow.org/api_docs/python/tf/data/Dataset#interleave\" target=\"_blank\">interleave</a>, <a \
     href=\"https://www.tensorflow.org/api_docs/python/tf/data/TFRecordDataset#class_tfrecorddataset\" \
     target=\"_blank\">reader buffer</a>)",
    "Other data reading or processing: you may consider using the <a \
     href=\"https://www.tensorflow.org/programmers_guide/datasets\" target=\"_blank\">tf.data API</a> (if you are not using \
     it now)",
];

/// The table.
pub fn table() -> DataTable {
    let mut table = DataTable::new();
    table.column("link", ColumnType::String, "link");
    for advice in ADVICE {
        table.row([advice.into()]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_whole() {
        for advice in ADVICE {
            // The lines above are joined without a blank too many, and every link is opened and closed.
            assert!(!advice.contains("  ") && advice.trim() == advice, "{advice}");
            let n_links = advice.matches("<a href=\"https://www.tensorflow.org/").count();
            assert_eq!(advice.matches("\" target=\"_blank\">").count(), n_links, "{advice}");
            assert_eq!(advice.matches("</a>").count(), n_links, "{advice}");
        }
        assert_eq!(table().rows().len(), 5);
    }
}
