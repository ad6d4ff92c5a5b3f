import de.bwaldvogel.mongo.MongoCollection;
import de.bwaldvogel.mongo.backend.AbstractUniqueIndex;
import de.bwaldvogel.mongo.backend.IndexKey;
import de.bwaldvogel.mongo.backend.KeyValue;
import de.bwaldvogel.mongo.bson.Document;
import java.util.List;
import java.util.Map;
import org.h2.mvstore.MVMap;

/** The unique index of the ids: a view of the documents, so that nothing is kept, or looked up, twice. */
final class IdIndex extends AbstractUniqueIndex<Object> {
    private final MVMap<Object, byte[]> documents;

    IdIndex(String name, List<IndexKey> keys, MVMap<Object, byte[]> documents) {
        super(name, keys, false);
        this.documents = documents;
    }

    @Override
    protected Object getPosition(KeyValue id) {
        return stored(id.get(0));
    }

    @Override
    public Object getPosition(Document document) {
        return stored(document.get("_id"));
    }

    private Object stored(Object id) {
        Object position = PackedCollection.position(id);
        return documents.containsKey(position) ? position : null;
    }

    /** The library's own check takes a while to find that there is no duplicate, but knows how to complain. */
    @Override
    public void checkAdd(Document document, MongoCollection<Object> collection) {
        if (getPosition(document) != null) {
            super.checkAdd(document, collection);
        }
    }

    /** The library lets no update change an id. */
    @Override
    public void checkUpdate(Document before, Document after, MongoCollection<Object> collection) {}

    @Override
    public void updateInPlace(
            Document before, Document after, Object position, MongoCollection<Object> collection) {}

    /** The collection has stored the document already, and has asked {@code checkAdd} before. */
    @Override
    public void add(Document document, Object position, MongoCollection<Object> collection) {}

    /** The collection removes the document itself, once it was told the position. */
    @Override
    protected Object removeDocument(KeyValue id) {
        return getPosition(id);
    }

    @Override
    protected boolean putKeyPosition(KeyValue id, Object position) {
        throw new IllegalStateException("ids are put by the collection");
    }

    @Override
    protected Iterable<Map.Entry<KeyValue, Object>> getIterable() {
        return () -> documents.keySet().stream().map(id -> Map.entry(new KeyValue(id), id)).iterator();
    }

    @Override
    public long getCount() {
        return documents.sizeAsLong();
    }

    /** Never says that it has to be filled. */
    @Override
    public boolean isEmpty() {
        return false;
    }

    @Override
    public long getDataSize() {
        return 0;
    }
}
