use netchan::Message;
use serde::{Deserialize, Serialize};

type Four<T> = ((((T,),),),);

#[derive(Serialize, Deserialize, Message)]
struct Deep {
    x: Four<Four<Four<Four<u8>>>>,
}

fn main() {}
