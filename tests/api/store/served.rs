//! What a server makes of content that was changed on the disk.

use serde_json::json;

use crate::fixture::{Server, WHEEL, jobs};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_whose_code_was_changed_on_the_disk_ends_with_its_name_and_uploading_it_again_heals_it() {
    let server = Server::with(&[]);
    server.upload("jobs", WHEEL, jobs()).await.is_success(201);
    let parts = std::fs::read_dir(server.place().path("data/blobs")).unwrap().map(|part| part.unwrap().path());
    let blob = parts.filter(|part| part.is_dir()).flat_map(|part| std::fs::read_dir(part).unwrap()).next().unwrap();
    let mut bytes = std::fs::read(blob.as_ref().unwrap().path()).unwrap();
    bytes[100] ^= 1;
    std::fs::write(blob.unwrap().path(), bytes).unwrap();
    server.open("c").await;
    let job = server.job("Echo", &json!({})).await;
    let ended = server.ended(&job).await;
    assert_eq!((&ended["status"], &ended["result"]["errorClass"]), (&json!("ERROR"), &json!("BinaryUnavailable")));
    let said = ended["result"]["message"].as_str().unwrap();
    assert!(said.contains("The binary jobs ("), "{said}");
    server.upload("jobs", WHEEL, jobs()).await.is_success(201);
    let job = server.job("Echo", &json!({"healed": true})).await;
    assert_eq!(server.ended(&job).await["result"], json!({"healed": true}));
}
